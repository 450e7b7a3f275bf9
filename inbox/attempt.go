package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hapaxmq/hapax"
)

// step is how far the transaction of a message came.
type step uint8

const (
	nowhere  step = iota // it did not begin
	asked                // the store was asked for the mark, and did not answer
	answered             // the mark has its verdict, and that is no reason to work
	began                // the handler was started
	worked               // the handler has returned nil, and the receipt is kept
)

// errAnswered rolls back a transaction in which there is nothing to do.
var errAnswered = errors.New("inbox: nothing to do")

// attempt is the handling of one message in a transaction, or in several if the
// database asks for it: then all but d is of the last one.
type attempt[T any] struct {
	t *transaction[T]
	d *delivery

	reached step
	mark    [1]hapax.Mark
	receipt hapax.Receipt
	refused error // why the receipt was not kept
	left    error // why the caller has left: do not run, say this
}

func (t *transaction[T]) attempt(d *delivery) *attempt[T] { return &attempt[T]{t: t, d: d} }

// work marks the message, and if it is fresh runs the handler and keeps its receipt.
func (a *attempt[T]) work(ctx context.Context, tx T) error {
	a.reached, a.receipt, a.refused = asked, nil, nil
	if a.d.unmarked() {
		return a.execute(ctx, tx)
	}
	a.mark[0] = a.d.mark()
	if err := a.t.marks.Mark(ctx, tx, a.mark[:]); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	a.reached = answered
	if a.mark[0].Verdict != hapax.Fresh {
		return errAnswered
	}
	return a.execute(ctx, tx)
}

// execute runs the handler and keeps its receipt.
func (a *attempt[T]) execute(ctx context.Context, tx T) error {
	a.reached = began
	if a.left != nil {
		return a.left
	}
	defer a.d.ran(time.Now())
	receipt, err := a.t.run(ctx, tx, a.d.message)
	if err != nil {
		return err
	}
	a.receipt = receipt
	if receipt != nil && !a.d.unmarked() {
		a.mark[0].Receipt = receipt
		err = a.t.marks.Keep(ctx, tx, &a.mark[0])
		if errors.Is(err, hapax.ErrReceiptSize) { // the effect is good without
			a.refused, err = err, nil
		}
		if err != nil {
			return fmt.Errorf("keep the receipt: %w", err)
		}
	}
	a.reached = worked
	return nil
}

// ended is the outcome of a transaction that ended with err.
func (a *attempt[T]) ended(err error) (hapax.Result, error) {
	switch {
	case a.reached == worked && err == nil && a.d.unmarked():
		return hapax.Result{Outcome: hapax.Passed, Receipt: a.receipt}, nil
	case a.reached == worked && err == nil:
		return hapax.Result{Outcome: hapax.Executed, Receipt: a.receipt}, a.refused
	case a.reached == worked && errors.Is(err, hapax.ErrUnknown):
		return hapax.Result{Outcome: hapax.Doubtful}, err
	case a.reached == worked:
		return hapax.Result{Outcome: hapax.Failed}, fmt.Errorf("commit: %w", err)
	case a.reached == began:
		return hapax.Result{Outcome: hapax.Failed}, err
	case a.reached == answered:
		return verdict(a.mark[0])
	case errors.Is(err, hapax.ErrInFlight):
		return hapax.Result{Outcome: hapax.Held}, err
	case isNameless(err): // to the store: it wants a time, say
		return hapax.Result{Outcome: hapax.Nameless}, err
	}
	return hapax.Result{Outcome: hapax.Unanswered}, err
}

// isNameless tells whether an error is about the message, whoever is asked.
func isNameless(err error) bool {
	return errors.Is(err, hapax.ErrMissing) || errors.Is(err, hapax.ErrMalformed)
}

// verdict is the outcome of a message that is not fresh.
func verdict(m hapax.Mark) (hapax.Result, error) {
	switch m.Verdict {
	case hapax.Duplicate:
		return hapax.Result{Outcome: hapax.Replayed, Receipt: m.Receipt}, nil
	case hapax.Conflict:
		return hapax.Result{Outcome: hapax.Conflicted}, fmt.Errorf("mark: %w", hapax.ErrConflict)
	case hapax.Stale, hapax.Late:
		return hapax.Result{Outcome: hapax.Outdated}, fmt.Errorf("mark: %w", hapax.ErrStale)
	}
	return hapax.Result{Outcome: hapax.Unanswered},
		fmt.Errorf("mark: the store answered %v, which is no answer to a mark", m.Verdict)
}

// resolve asks in another transaction whether the one of a was committed. Its mark
// waits for the first to end, where a mere look would miss a commit under way: it is
// a Duplicate, and then the message was executed; or Fresh, and then the first was
// rolled back and the message runs in the second.
func (t *transaction[T]) resolve(ctx context.Context, a *attempt[T], unknown error) (hapax.Result, error) {
	t.inbox.log(ctx, slog.LevelError, "inbox: the commit's outcome is unknown: a second transaction asks for the mark", a.d, unknown)
	if a.d.unmarked() {
		return a.ended(unknown)
	}
	again := t.attempt(a.d)
	again.left = context.Cause(ctx)
	if again.left != nil { // which may be why the commit was cut short
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), t.patience())
		defer cancel()
	}
	err := t.marks.Transact(ctx, again.work)
	switch {
	case again.reached == answered && again.mark[0].Verdict == hapax.Duplicate:
		t.inbox.tally.resolved.Add(1)
		if again.mark[0].Receipt != nil { // perhaps of a copy that came between
			a.receipt, a.refused = again.mark[0].Receipt, nil
		}
		return hapax.Result{Outcome: hapax.Executed, Receipt: a.receipt}, a.refused
	case again.reached < answered:
		return hapax.Result{Outcome: hapax.Doubtful}, errors.Join(unknown, err)
	}
	t.inbox.tally.resolved.Add(1)
	return again.ended(err)
}

// patience bounds the question about an unknown commit if the caller has left.
func (t *transaction[T]) patience() time.Duration {
	if p := t.inbox.o.Limits.Settle; p > 0 {
		return p
	}
	return t.inbox.o.Lease
}
