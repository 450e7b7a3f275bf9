package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/hapaxmq/hapax/demo"
)

// played is what hapax demo reports.
func played(t *testing.T, flags ...string) (r demo.Report) {
	t.Helper()
	c := exec.Command("hapax", append([]string{"demo", "--fast", "--json"}, flags...)...)
	c.Env = append(os.Environ(), "GORACE="+noLinger)
	c.Stderr = t.Output()
	out, err := c.Output()
	if err != nil {
		t.Errorf("hapax demo: %v", err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r
}

// TestDemo plays the demo as it is, by several seeds.
func TestDemo(t *testing.T) {
	t.Parallel()
	for _, seed := range []string{"1", "2"} {
		t.Run(seed, func(t *testing.T) {
			t.Parallel()
			r := played(t, "--seed", seed)
			for _, f := range r.Faults {
				if f.Struck != 1 {
					t.Errorf("%s: struck %d times", f.Name, f.Struck)
				}
			}
			if n := r.Naive.Credits.Doubled; n < 10 {
				t.Errorf("the naive wallet credited %d payments twice, which is too few for these faults", n)
			}
			if n := r.Hapax.Payments; n != r.Naive.Payments || n < 50 {
				t.Errorf("%d and %d payments", r.Naive.Payments, n)
			}
		})
	}
}
