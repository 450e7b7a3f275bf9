package ledger

import (
	"context"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
)

// A growing table makes no caller wait for long: what a single call moves is
// bounded, whatever the table's size, even where the ledger's own goroutine never
// gets to run. The bound is one on work, which a test can count, and not on time.
func TestGrowthTakesLittleOfEachCall(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	const (
		n         = 1_500_000
		step      = 1024                              // lines, at most
		mostLines = mostRate*hurried*stripes + 2*step // that one call may sweep: what a deal owes, and the step begun last, counted as a whole one
	)
	l := open(t, "", Options{Window: hapax.Window{Time: time.Hour}})
	stopMaintain(t, l)
	h, ctx := l.Hasher(""), context.Background()
	var e Entry
	var b [8]byte
	growths, most := 0, 0
	for i := range n {
		b[0], b[1], b[2] = byte(i), byte(i>>8), byte(i>>16)
		e.Fingerprint = h.Fingerprint(b[:])
		epoch, lines := l.hot.table.Epoch(), l.hot.table.Lines()
		if err := l.AdmitOne(ctx, &e); err != nil {
			t.Fatal(err)
		}
		if l.hot.table.Lines() != lines {
			growths++
		}
		// A step is a part of one of 256 shards.
		most = max(most, int(l.hot.table.Epoch()-epoch)*min(lines/256, step))
	}
	t.Logf("%d growths, at most %d lines by one call", growths, most)
	if growths < 10 {
		t.Errorf("%d growths: too few to tell", growths)
	}
	if most > mostLines {
		t.Errorf("one call swept %d lines", most)
	}
}

// stopMaintain ends the ledger's goroutine, and lets Close do so again.
func stopMaintain(t *testing.T, l *Ledger) {
	t.Helper()
	close(l.stop)
	l.running.Wait()
	l.stop = make(chan struct{})
}
