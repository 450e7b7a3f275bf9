package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/hapaxmq/hapax"
)

// Act says who does something with a message by hand, and why. Both are required, and are
// written to the log of the inbox at Warn, with the message's hash and what came of it:
// give that a Logger.
type Act struct {
	By, Reason string
}

// Look tells what the store of an inbox knows of m: see [hapax.Operator], which all ledgers
// of this module are, and marks by id. Of other marks, which are a column of the user's or a
// number for many messages, the error is [errors.ErrUnsupported].
func Look(ctx context.Context, in *Inbox, m *hapax.Message, a Act) (hapax.Claim, error) {
	d, err := a.begin(ctx, in, m)
	if err != nil {
		return hapax.Claim{}, err
	}
	c, err := in.operator.Look(d.Context, hapax.Scope(in.o.Name), d.identity)
	a.log(d, "look: "+c.Verdict.String(), err)
	return c, err
}

// Expire lets m go in the store and in the memory of this process, and tells whether the
// store knew of it: the next copy runs, once for all copies again. A handler that has it
// now loses its lease; one in a transaction goes on. Other processes may know of it by
// [Options].Committed. See [Look] of the stores that can.
func Expire(ctx context.Context, in *Inbox, m *hapax.Message, a Act) (was bool, err error) {
	d, err := a.begin(ctx, in, m)
	if err != nil {
		return false, err
	}
	was, err = in.operator.Expire(d.Context, hapax.Scope(in.o.Name), d.identity)
	in.committed.remove(d.key)
	in.failing.end(d)
	a.log(d, fmt.Sprintf("expire: was known: %t", was), err)
	return was, err
}

// Rerun is [Expire], and then Handle: the handler runs for m though it was handled before.
func Rerun(ctx context.Context, in *Inbox, m *hapax.Message, a Act) (hapax.Result, error) {
	if _, err := Expire(ctx, in, m, a); err != nil {
		return hapax.Result{Outcome: hapax.Unanswered}, err
	}
	r, err := in.Handle(ctx, m)
	if d, failed := a.begin(ctx, in, m); failed == nil {
		a.log(d, "run again: "+r.Outcome.String(), err)
	}
	return r, err
}

// begin begins an act.
func (a Act) begin(ctx context.Context, in *Inbox, m *hapax.Message) (*delivery, error) {
	if a.By == "" || a.Reason == "" {
		return nil, fmt.Errorf("inbox %q: act of %q for the reason %q: want both, to be audited", in.o.Name, a.By, a.Reason)
	}
	if in.operator == nil {
		return nil, fmt.Errorf("inbox %q: its store is no hapax.Operator: %w", in.o.Name, errors.ErrUnsupported)
	}
	n, err := in.nameOf(m)
	if err == nil && len(n.identity) == 0 {
		err = hapax.ErrMissing
	}
	return &delivery{inbox: in, Context: ctx, message: m, name: n}, err
}

// log writes an act to the log.
func (a Act) log(d *delivery, what string, err error) {
	d.inbox.log(d.Context, slog.LevelWarn, fmt.Sprintf("inbox: operator %q, because %q: %s", a.By, a.Reason, what), d, err)
}
