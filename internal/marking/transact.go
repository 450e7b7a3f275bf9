package marking

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

// ErrEnded says that the function which was given a transaction committed it or rolled it back
// by itself.
var ErrEnded = errors.New("hapax: the handler ended the transaction that it was given")

// Open is a transaction that has begun. Rollback after Commit does nothing.
type Open[T any] struct {
	Tx       T
	Commit   func(ctx context.Context) error // ErrEnded if somebody else ended it
	Rollback func(ctx context.Context) error
}

// Transactor runs functions in transactions. T is comparable by identity, as the
// transactions of drivers are.
type Transactor[T any] struct {
	Begin  func(ctx context.Context) (Open[T], error) // ctx lives as long as the transaction
	Fault  func(error) sqltext.Fault
	Runs   int           // how often a function is run at most
	Settle time.Duration // bounds a commit or rollback
}

// attempt is one run of a function in a transaction. It is the context that the
// transaction lives in, and is found in all that are made of the one it has given.
type attempt struct {
	context.Context // has the values of the caller's, and outlives it to commit

	end   context.CancelFunc
	timer *time.Timer     // calls end, if it runs
	given context.Context // to the function: the caller's, with all that it ends by
	tx    any
	run   int

	spoiled error // what a mark met: the transaction must not be committed
}

type attemptKey struct{}

func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

func newAttempt(ctx context.Context, run int) *attempt {
	a := &attempt{run: run}
	a.Context, a.end = context.WithCancel(context.WithoutCancel(ctx))
	a.given = context.WithValue(ctx, attemptKey{}, a)
	return a
}

// endIn ends the transaction's context after d, until the timer is stopped.
func (a *attempt) endIn(d time.Duration) *time.Timer {
	if a.timer == nil {
		a.timer = time.AfterFunc(d, a.end)
	} else {
		a.timer.Reset(d)
	}
	return a.timer
}

// Rerun tells whether ctx is that of a function which ran before, in a transaction
// that was rolled back because the database asked for it.
func Rerun(ctx context.Context) bool {
	a := attemptOf(ctx)
	return a != nil && a.run > 1
}

// Transact is the method of [hapax.Marks].
func (t *Transactor[T]) Transact(ctx context.Context, f func(ctx context.Context, tx T) error) error {
	for run := 1; ; run++ {
		err := t.once(ctx, run, f)
		if err == nil || run >= t.Runs || !t.again(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(Pause(run)):
		}
	}
}

// Pause is how long to wait before another run: others must get through meanwhile,
// so the time is drawn, from a range that doubles up to a twentieth of a second.
func Pause(run int) time.Duration {
	return rand.N(min(time.Millisecond<<min(run, 10), 50*time.Millisecond))
}

// again tells whether a function should run again. What may be committed must not.
func (t *Transactor[T]) again(err error) bool {
	if errors.Is(err, hapax.ErrUnknown) {
		return false
	}
	fault := t.Fault(err)
	return fault == sqltext.Again || fault == sqltext.Busy
}

// once runs f in one transaction. The transaction ends with ctx while f runs; once f
// has returned, it is only bounded by Settle.
func (t *Transactor[T]) once(ctx context.Context, run int, f func(context.Context, T) error) error {
	a := newAttempt(ctx, run)
	defer a.end()
	unbind := context.AfterFunc(ctx, a.end)
	defer unbind()
	open, err := t.Begin(a)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("begin: %w", err)
	}
	committing := false
	defer func() { // of a panic and of runtime.Goexit too
		if !committing {
			t.rollback(ctx, open)
		}
	}()
	a.tx = open.Tx
	if err := f(a.given, open.Tx); err != nil {
		return err
	}
	if a.spoiled != nil {
		return a.spoiled
	}
	if !unbind() {
		return context.Cause(ctx)
	}
	committing = true
	defer a.endIn(t.Settle).Stop()
	return t.committed(open.Commit(a))
}

func (t *Transactor[T]) rollback(ctx context.Context, open Open[T]) {
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), t.Settle)
	defer end()
	_ = open.Rollback(ctx) // a transaction that can't be told to is rolled back with its connection
}

// committed says what the answer to a commit means.
func (t *Transactor[T]) committed(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrEnded):
		return fmt.Errorf("commit: %w: %w", hapax.ErrUnknown, err)
	case t.Fault(err) == sqltext.Unclear:
		return fmt.Errorf("commit: %w: %w", hapax.ErrUnknown, err)
	default:
		return fmt.Errorf("commit: %w", err)
	}
}
