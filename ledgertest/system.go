package ledgertest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

func systemChecks() []admitCheck {
	return []admitCheck{
		{name: "by the system's clock both edges hold too", on: inMemory, run: systemClock},
		{name: "Close ends every goroutine", run: closeEndsAll},
	}
}

// bubble runs f where time is the test's own: it passes only when everybody
// sleeps.
func bubble(tb testing.TB, f func(testing.TB)) {
	t, ok := tb.(*testing.T)
	if !ok {
		tb.Skip("needs a test of its own")
	}
	synctest.Test(t, func(t *testing.T) { f(t) })
}

// systemClock: without Options.Clock a ledger may cut its slices by a timer.
// Inside the window it forgets nothing all the same.
func systemClock(tb testing.TB, f AdmitFactory) {
	for _, w := range []time.Duration{10 * time.Millisecond, time.Second, time.Minute} {
		bubble(tb, func(tb testing.TB) {
			l, err := f.Open("", ledger.Options{Window: hapax.Window{Time: w}})
			if err != nil {
				tb.Fatalf("open: %v", err)
			}
			defer l.Close()
			ask := func(n int) hapax.Verdict {
				b := &ledger.Batch{Entries: entries(n, n+1)}
				if err := l.Admit(context.Background(), b); err != nil {
					tb.Fatalf("admit: %v", err)
				}
				return b.Entries[0].Verdict
			}
			start := time.Now()
			until := func(at time.Duration) { time.Sleep(time.Until(start.Add(at))) }
			for n := range 50 {
				begin := time.Duration(n) * 3 * w * 101 / 100
				until(begin)
				if got := ask(n); got != hapax.Fresh {
					tb.Fatalf("window %v: %v at first", w, got)
				}
				until(begin + w - min(time.Millisecond, w/1000))
				if got := ask(n); got != hapax.Duplicate {
					tb.Fatalf("window %v: %v inside the window", w, got)
				}
				until(begin + w + slack(w) + w/1000)
				if got := ask(n); got != hapax.Fresh {
					tb.Fatalf("window %v: %v after the window", w, got)
				}
			}
		})
	}
}

// closeEndsAll: a bubble fails if a goroutine outlives its test.
func closeEndsAll(tb testing.TB, f AdmitFactory) {
	bubble(tb, func(tb testing.TB) {
		for range 3 {
			t := newTrial(tb, tb, f, anHour())
			t.all(hapax.Fresh, 0, 3000)
			t.claim("a", 0, long)
			t.confirm("s", 1)
			t.close()
		}
	})
}
