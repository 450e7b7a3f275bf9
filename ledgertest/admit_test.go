package ledgertest

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/rehearsaltest"
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
		"conflicts judged anew": "was a conflict is one again",
		"positions leave":       "keeps its verdict",
		"positions come late":   "keeps its verdict",
		"positions renew":       "keeps its verdict",
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
				r := rehearsaltest.Run(t, func(tb testing.TB) { c.run(tb, AdmitFactory{Open: openDiary(bug)}) })
				if r.Failed() {
					t.Log(r.Said())
					return
				}
			}
			t.Errorf("no check %q noticed", name)
		})
	}
}

// boundReceipts lets the oldest receipt go when there are too many bytes.
func (d *diary) boundReceipts() {
	var kept []hapax.Fingerprint
	sum := int64(0)
	for fp, r := range d.shelf.state.records {
		sum += int64(len(r.receipt))
		kept = append(kept, fp)
	}
	if d.o.MaxReceipts == 0 || sum <= d.o.MaxReceipts {
		return
	}
	oldest := slices.MinFunc(kept, func(a, b hapax.Fingerprint) int {
		age := func(fp hapax.Fingerprint) uint64 {
			if r := d.shelf.state.records[fp]; len(r.receipt) > 0 {
				return r.token
			}
			return 1 << 63
		}
		return cmp.Compare(age(a), age(b))
	})
	r := d.shelf.state.records[oldest]
	r.receipt = nil
	d.shelf.state.records[oldest] = r
}
