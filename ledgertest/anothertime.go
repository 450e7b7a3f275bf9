package ledgertest

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
)

// InAnotherTime is the ledger of a client whose clock is off by decades: it believes that it
// is the year 2000, while each call is made as ever. open connects to the ledger there, and
// registers its clean-up with the test that it is given. It is for [Instance.Skewed], where
// the ledger has no clock that could be set; calls are made one at a time.
func InAnotherTime(tb testing.TB, open func(tb testing.TB) hapax.Ledger) hapax.Ledger {
	d := &decadesAgo{tb: tb, open: open, calls: make(chan func(hapax.Ledger)), ended: make(chan struct{})}
	return d
}

// decadesAgo makes its calls in a bubble, whose time does not pass while somebody waits for a
// server.
type decadesAgo struct {
	tb    testing.TB
	open  func(testing.TB) hapax.Ledger
	begin sync.Once
	calls chan func(hapax.Ledger)
	ended chan struct{}
}

func (d *decadesAgo) live() {
	t, ok := d.tb.(*testing.T)
	if !ok {
		d.tb.Fatal("another time is for tests only")
	}
	go func() {
		defer close(d.ended)
		synctest.Test(t, func(t *testing.T) {
			l := d.open(t)
			if now := time.Now(); now.Year() > 2001 {
				t.Errorf("it is %v, want it to be decades ago", now)
			}
			for call := range d.calls {
				call(l)
			}
		})
	}()
	d.tb.Cleanup(func() {
		close(d.calls)
		<-d.ended
	})
}

func (d *decadesAgo) call(f func(hapax.Ledger)) {
	d.begin.Do(d.live)
	done := make(chan struct{})
	d.calls <- func(l hapax.Ledger) {
		defer close(done)
		f(l)
	}
	<-done
}

func (d *decadesAgo) Claim(ctx context.Context, r hapax.Request) (c hapax.Claim, err error) {
	d.call(func(l hapax.Ledger) { c, err = l.Claim(ctx, r) })
	return c, err
}

func (d *decadesAgo) Extend(ctx context.Context, c hapax.Claim, by time.Duration) (next hapax.Claim, err error) {
	d.call(func(l hapax.Ledger) { next, err = l.Extend(ctx, c, by) })
	return next, err
}

func (d *decadesAgo) Commit(ctx context.Context, c hapax.Claim, r hapax.Receipt) (err error) {
	d.call(func(l hapax.Ledger) { err = l.Commit(ctx, c, r) })
	return err
}

func (d *decadesAgo) Release(ctx context.Context, c hapax.Claim) (err error) {
	d.call(func(l hapax.Ledger) { err = l.Release(ctx, c) })
	return err
}
