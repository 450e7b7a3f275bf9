package ledger

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// What is asked of the file system, in which order, is what the promises over
// kill -9 and power loss rest on.
func TestTranscript(t *testing.T) {
	ctx := context.Background()
	fault := vfs.NewFault(vfs.NewMem(), nil)
	var out strings.Builder
	var l *Ledger
	var claim hapax.Claim
	opening := func() (err error) { l, err = Open("d", goldenOptions(fault)); return err }
	admitting := func() error { return l.Admit(ctx, batch(l, 0, 100)) }
	claiming := func(id string) func() error {
		return func() (err error) {
			claim, err = l.Claim(ctx, hapax.Request{Identity: []byte(id), Lease: 1e9})
			return err
		}
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"open: the secret, what it is, the first file of the log", opening},
		{"admit: one write, one sync", admitting},
		{"admit copies: what their first copies wait for is durable", admitting},
		{"claim: the reservation of tokens is durable before the first is given out", claiming("a")},
		{"claim again: written, not synced", claiming("b")},
		{"commit: one write, one sync", func() error { return l.Commit(ctx, claim, nil) }},
		{"roll: all is durable before the next file is written", func() error { rolled(t, l, (*journal).rollNow); return nil }},
		{"admit into the second file", func() error { return l.Admit(ctx, batch(l, 100, 200)) }},
		{"close: sealed, then marked as clean", func() error { return l.Close() }},
		{"open: read, and no longer clean before anything changes", opening},
		{"close with nothing done", func() error { return l.Close() }},
		{"verify: nothing is written", func() error { _, err := Verify(fault, "d"); return err }},
	} {
		fault.Record()
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		out.WriteString("# " + step.name + "\n" + fault.Transcript() + "\n")
	}
	file := filepath.Join("testdata", "transcript.txt")
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("%s is now\n%s", file, out.String())
	}
}
