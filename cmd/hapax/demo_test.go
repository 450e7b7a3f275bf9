package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax/demo"
	"github.com/hapaxmq/hapax/internal/servertest"
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

// TestDemo plays the demo by a seed that the README does not.
func TestDemo(t *testing.T) {
	t.Parallel()
	isGood(t, played(t, "--seed", "0"))
}

// TestDemoOnServers plays it on PostgreSQL and Redis.
func TestDemoOnServers(t *testing.T) {
	t.Parallel()
	isGood(t, played(t, "--seed", "3", "--postgres", servertest.Postgres(t), "--redis", servertest.Redis(t)))
}

// isGood wants every fault to have struck once, and the naive column to suffer from what
// Hapax's did not.
func isGood(t *testing.T, r demo.Report) {
	t.Helper()
	harmless := map[string]bool{"addresses killed before its ack": true}
	for _, f := range r.Faults {
		if f.Struck != 1 {
			t.Errorf("%s: struck %d times", f.Name, f.Struck)
		}
		if (f.Naive == demo.Damage{}) != harmless[f.Name] {
			t.Errorf("%s: in the naive column: %v", f.Name, f.Naive)
		}
		if f.Hapax.Credits+f.Hapax.Mails+f.Hapax.Settlements+f.Hapax.Miscounted > 0 {
			t.Errorf("%s: in the column of Hapax: %v", f.Name, f.Hapax)
		}
	}
	if n := r.Hapax.Payments; n != r.Naive.Payments || n < 50 {
		t.Errorf("%d and %d payments", r.Naive.Payments, n)
	}
}

// TestDemoWithoutServers: a server that is not there is told by its flag, and nothing else is.
func TestDemoWithoutServers(t *testing.T) {
	t.Parallel()
	for flag, value := range map[string]string{
		"--postgres": "postgres://127.0.0.1:1/none", "--kafka": "127.0.0.1:1", "--redis": "127.0.0.1:1",
	} {
		c := exec.Command("hapax", "demo", "--fast", flag, value)
		c.Env = append(os.Environ(), "GORACE="+noLinger)
		said, err := c.CombinedOutput()
		if err == nil || strings.Count(string(said), "hapax: ") != 1 || !strings.HasPrefix(string(said), "hapax: start: "+flag) {
			t.Errorf("%s: %v: %s", flag, err, said)
		}
	}
}
