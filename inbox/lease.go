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
			return in.pass(ctx, d, h)
		}
		r, err := in.o.Limits.Do(ctx, l, in.request(d), func(ctx context.Context, c hapax.Claim) (hapax.Receipt, error) {
			defer d.ran(time.Now())
			return h(ctx, c, d.message)
		})
		if r.Outcome == hapax.Unanswered && in.o.StoreDown == FailOpen && ctx.Err() == nil {
			in.log(ctx, slog.LevelWarn, "inbox: the ledger can't be asked: the handler runs without a claim", d, err)
			d.open = true
			return in.pass(ctx, d, h)
		}
		return r, err
	}
	return in, nil
}

// request asks a ledger for a claim on d's message.
func (in *Inbox) request(d *delivery) hapax.Request {
	return hapax.Request{Scope: hapax.Scope(in.o.Name), Identity: d.identity, Digest: d.digest, Lease: in.o.Lease}
}

// pass runs the handler without a claim.
func (in *Inbox) pass(ctx context.Context, d *delivery, h LeaseHandler) (hapax.Result, error) {
	defer d.ran(time.Now())
	receipt, err := h(ctx, hapax.Claim{}, d.message)
	if err != nil {
		return hapax.Result{Outcome: hapax.Failed}, err
	}
	return hapax.Result{Outcome: hapax.Passed, Receipt: receipt}, nil
}
