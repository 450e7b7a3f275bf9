package inbox

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/hapaxmq/hapax"
)

// LeaseHandler does the work of one message under a claim: see [hapax.Handler].
type LeaseHandler func(ctx context.Context, c hapax.Claim, m *hapax.Message) (hapax.Receipt, error)

// Lease makes the inbox of a handler whose effect is outside of every transaction:
// an e-mail, a payment, a call. The message is claimed, the handler runs while the
// claim's lease is extended, and the claim is committed with the handler's receipt.
//
// Guarantee: no two runs of a message overlap, and once one is committed there is
// no other while the ledger remembers it. If the process dies, or is cut off for longer than
// its lease, after the effect and before the commit, the effect happens again.
// Close the gap by giving the resource an idempotency key ([ChildID]), or c.Token,
// which rises with every claim, to refuse a holder that was overtaken.
//
// Crash: before the claim nothing has happened, and the next copy runs. Between
// claim and commit the claim is in the ledger: copies are held until its lease
// ends, then one of them runs. After the commit copies are replayed. That is as
// durable as the ledger is.
//
// [Inbox.HandleBatch] with a [hapax.BatchLedger] claims messages together, handles them
// one after the other, and commits them together: at the end, or a third of a lease after
// the commit before. A crash then repeats the effects since, where with [Inbox.Handle] it
// repeats one.
//
// What voids it: a ledger that forgets inside the window, such as a cache that
// evicts; [FailOpen]; a handler that goes on after its context has ended with
// [hapax.ErrLeaseLost].
func Lease(l hapax.Ledger, o Options, h LeaseHandler) (*Inbox, error) {
	if l == nil || h == nil {
		return nil, errors.New("inbox: want a ledger and a handler")
	}
	in, err := newInbox(Leased, o, l)
	if err != nil {
		return nil, err
	}
	in.one = func(ctx context.Context, d *delivery) (hapax.Result, error) {
		if d.unmarked() {
			return h.pass(ctx, d)
		}
		r, err := in.o.Limits.Do(ctx, l, in.request(d), func(ctx context.Context, c hapax.Claim) (hapax.Receipt, error) {
			defer d.ran(time.Now())
			return h(ctx, c, d.message)
		})
		if r.Outcome == hapax.Unanswered && in.o.StoreDown == FailOpen && ctx.Err() == nil {
			return h.failOpen(ctx, d, err)
		}
		return r, err
	}
	if batches, ok := l.(hapax.BatchLedger); ok {
		c := &claiming{inbox: in, ledger: batches, settled: in.conclude}
		c.work = func(ctx context.Context, c hapax.Claim, d *delivery) (hapax.Receipt, error) {
			return h(ctx, c, d.message)
		}
		c.unasked = func(ctx context.Context, d *delivery, err error) (hapax.Result, error) {
			return h.failOpen(ctx, d, err)
		}
		in.many = c.handle
	}
	return in, nil
}

// request asks a ledger for a claim on d's message.
func (in *Inbox) request(d *delivery) hapax.Request {
	return hapax.Request{Scope: hapax.Scope(in.o.Name), Identity: d.identity, Digest: d.digest, Lease: in.o.Lease}
}

// failOpen runs the handler though the ledger can't be asked.
func (h LeaseHandler) failOpen(ctx context.Context, d *delivery, err error) (hapax.Result, error) {
	d.inbox.log(ctx, slog.LevelWarn, "inbox: the ledger can't be asked: the handler runs without a claim", d, err)
	d.open = true
	return h.pass(ctx, d)
}

// pass runs the handler without a claim.
func (h LeaseHandler) pass(ctx context.Context, d *delivery) (hapax.Result, error) {
	defer d.ran(time.Now())
	receipt, err := h(ctx, hapax.Claim{}, d.message)
	if err != nil {
		return hapax.Result{Outcome: hapax.Failed}, err
	}
	return hapax.Result{Outcome: hapax.Passed, Receipt: receipt}, nil
}
