package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hapaxmq/hapax"
)

// AtMostOnce makes the inbox of a handler that must never run twice, and may fail
// to run: a reminder that annoys when it comes again. The mark is committed, then
// the handler runs.
//
// Guarantee: the handler is started at most once for a message while the ledger
// remembers it. What fails after the mark is lost: a handler that returns an error
// or panics, which is [hapax.Forfeited], and a process that dies, of which nobody
// is told.
//
// Crash: before the commit nothing has happened, and the next copy runs, once the
// lease of the claim has ended. After the commit copies are dropped, whether the
// handler had run or not.
//
// [Inbox.HandleBatch] with a [hapax.BatchLedger] commits the marks of all its messages,
// then runs the handler for one after the other: a process that dies, or a handler that
// panics, loses those that had not run.
//
// What voids it: a ledger that forgets inside the window; messages that are let pass
// without an identity.
func AtMostOnce(l hapax.Ledger, o Options, h func(ctx context.Context, m *hapax.Message) error) (*Inbox, error) {
	if l == nil || h == nil {
		return nil, errors.New("inbox: want a ledger and a handler")
	}
	in, err := newInbox(AtMost, o, l)
	if err != nil {
		return nil, err
	}
	run := func(ctx context.Context, d *delivery, ended hapax.Outcome) (hapax.Result, error) {
		d.result.Outcome = hapax.Forfeited // should the handler panic
		defer d.ran(time.Now())
		if err := h(ctx, d.message); err != nil {
			return hapax.Result{Outcome: hapax.Forfeited}, err
		}
		return hapax.Result{Outcome: ended}, nil
	}
	in.one = func(ctx context.Context, d *delivery) (hapax.Result, error) {
		if d.unmarked() {
			return run(ctx, d, hapax.Passed)
		}
		if marked, err := in.markFirst(ctx, l, d); marked.Outcome != hapax.Executed {
			return marked, err
		}
		return run(ctx, d, hapax.Executed)
	}
	if batches, ok := l.(hapax.BatchLedger); ok {
		in.many = func(ctx context.Context, ds []*delivery) []*delivery {
			var marked []*delivery
			c := &claiming{inbox: in, ledger: batches, settled: func(d *delivery, r hapax.Result, err error) {
				if r.Outcome != hapax.Executed {
					in.conclude(d, r, markError(err))
					return
				}
				d.end(hapax.Result{Outcome: hapax.Forfeited}, nil) // should a handler before it panic
				marked = append(marked, d)
			}}
			left := c.handle(ctx, ds)
			for _, d := range marked {
				r, err := run(d, d, hapax.Executed)
				in.conclude(d, r, err)
			}
			return left
		}
	}
	return in, nil
}

// markFirst commits the mark of a message of which nothing was done. The outcome is
// Executed if the handler may run now. A mark in doubt may be there: then the copies
// to come are dropped, and the message is lost, as it may be.
func (in *Inbox) markFirst(ctx context.Context, l hapax.Ledger, d *delivery) (hapax.Result, error) {
	r, err := in.o.Limits.Do(ctx, l, in.request(d), func(context.Context, hapax.Claim) (hapax.Receipt, error) {
		return nil, nil
	})
	return r, markError(err)
}

func markError(err error) error {
	if err != nil {
		err = fmt.Errorf("mark before the handler: %w", err)
	}
	return err
}
