package ledgertest

import (
	"strings"
	"testing"
)

func TestRunAdmit(t *testing.T) {
	RunAdmit(t, AdmitFactory{Open: openDiary("")})
}

// TestAdmitCatches plants one bug at a time and demands that the check which
// should notice it does.
func TestAdmitCatches(t *testing.T) {
	bugs := map[string]string{
		"window short":          "both edges of a time window",
		"window long":           "both edges of a time window",
		"count off by one":      "a count window is exact",
		"clock steps back":      "steps back",
		"blind inside a batch":  "twice in one batch",
		"any future":            "from the future",
		"never late":            "Late",
		"never redelivered":     "is redelivered",
		"redelivers duplicates": "is one again",
		"120 bits decide":       "all 128 bits",
		"always renewed":        "both edges of a time window",
		"conflicts uncounted":   "exactly one counter",
		"forgets nothing":       "forgotten identity is fresh",
		"lists all but one":     "All lists",
	}
	for bug, name := range bugs {
		t.Run(bug, func(t *testing.T) {
			for _, c := range statements() {
				if c.on != anywhere && c.on != inMemory || !strings.Contains(c.name, name) {
					continue
				}
				r := rehearse(t, func(tb testing.TB) { c.run(tb, AdmitFactory{Open: openDiary(bug)}) })
				if r.failed {
					t.Log(r.said)
					return
				}
			}
			t.Errorf("no check %q noticed", name)
		})
	}
}
