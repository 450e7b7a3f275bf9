package inbox

import (
	"context"
	"time"

	"github.com/hapaxmq/hapax"
)

// claiming is what [Lease] and [AtMostOnce] do with several messages at once: they
// are claimed together, worked on one after the other, and committed together.
type claiming struct {
	inbox  *Inbox
	ledger hapax.BatchLedger

	// work does the work of one under its claim; nil: there is none before the commit.
	work func(ctx context.Context, c hapax.Claim, d *delivery) (hapax.Receipt, error)
	// unasked does the work of one of which the ledger could not be asked, if that is
	// to be; nil: it never is.
	unasked func(ctx context.Context, d *delivery, err error) (hapax.Result, error)
	// settled is given each with what became of its claim.
	settled func(d *delivery, r hapax.Result, err error)
}

// handle handles messages. It returns those that it left, to wait for others.
func (c *claiming) handle(ctx context.Context, ds []*delivery) (left []*delivery) {
	for len(ds) > 0 {
		var copies []*delivery
		first, seen := make([]*delivery, 0, len(ds)), make(map[key]bool, len(ds))
		for _, d := range ds {
			if seen[d.key] {
				copies = append(copies, d)
				continue
			}
			seen[d.key] = true
			first = append(first, d)
		}
		left = append(left, c.round(ctx, first)...)
		ds = copies // whose first is committed now, or has failed
	}
	return left
}

// round handles messages that are no copies of one another.
func (c *claiming) round(ctx context.Context, ds []*delivery) (left []*delivery) {
	in := c.inbox
	requests := make([]hapax.Request, len(ds))
	for i, d := range ds {
		requests[i] = in.request(d)
	}
	done := in.o.Limits.DoBatch(ctx, c.ledger, requests, func(_ context.Context, fresh []*hapax.Work) error {
		if c.work != nil {
			for _, w := range fresh {
				w.End(c.one(w, ds[w.Index]))
			}
		}
		return nil
	})
	for i, d := range ds {
		r, err := done[i].Result, done[i].Err
		if r.Outcome == hapax.Held && in.o.Wait > 0 {
			left = append(left, d)
			continue
		}
		if r.Outcome == hapax.Unanswered && in.o.StoreDown == FailOpen && c.unasked != nil && ctx.Err() == nil {
			r, err = c.unasked(d, d, err)
		}
		c.settled(d, r, err)
	}
	return left
}

// one works on one message, unless its lease was lost while others were worked on.
func (c *claiming) one(w *hapax.Work, d *delivery) (hapax.Receipt, error) {
	if cause := context.Cause(w.Context()); cause != nil {
		return nil, cause
	}
	ctx, cancel := context.WithCancelCause(d)
	defer cancel(nil)
	unhook := context.AfterFunc(w.Context(), func() { cancel(context.Cause(w.Context())) })
	defer unhook()
	defer d.ran(time.Now())
	receipt, err := c.work(ctx, w.Claim, d)
	if err == nil { // should a handler after it panic, nobody tells of the commit
		d.end(hapax.Result{Outcome: hapax.Doubtful}, nil)
	}
	return receipt, err
}
