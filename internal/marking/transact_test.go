package marking

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

// stuck is a form whose one statement waits for others until its context ends.
type stuck struct{ met context.Context }

func (f *stuck) Mark(ctx context.Context, _ Tx, _ []hapax.Mark, wait time.Duration) error {
	f.met = ctx
	return limited(ctx, wait, func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
}

func (f *stuck) Keep(context.Context, Tx, *hapax.Mark) error { return nil }

// transactor has transactions that are numbers, and tells of the last one.
type transactor struct {
	Transactor[int]
	ctx                   context.Context
	committed, rolledBack bool
}

func newTransactor() *transactor {
	t := &transactor{}
	t.Transactor = Transactor[int]{
		Begin: func(ctx context.Context) (Open[int], error) {
			t.ctx, t.committed, t.rolledBack = ctx, false, false
			return Open[int]{
				Tx:       1,
				Commit:   func(ctx context.Context) error { t.committed = true; return ctx.Err() },
				Rollback: func(context.Context) error { t.rolledBack = true; return nil },
			}, nil
		},
		Fault: unclear, Runs: 1, Settle: time.Second,
	}
	return t
}

func unclear(error) sqltext.Fault { return sqltext.Unclear }

// A mark that waits too long is in flight elsewhere, and ends its transaction.
func TestMarkWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		marks, began := newTransactor(), time.Now()
		w := Waiter{Form: &stuck{}, Wait: 5 * time.Second, Fault: unclear}
		err := marks.Transact(t.Context(), func(ctx context.Context, tx int) error {
			_ = w.Mark(ctx, tx, nil, make([]hapax.Mark, 1)) // it can't be overlooked
			if ctx.Err() != nil {
				t.Error("the function's context has ended")
			}
			return nil
		})
		if !errors.Is(err, hapax.ErrInFlight) || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if marks.ctx.Err() == nil || marks.committed || !marks.rolledBack {
			t.Error("the transaction goes on")
		}
	})
}

// What ends the context that Mark is given ends the mark, with its cause.
func TestMarkEnds(t *testing.T) {
	left, key := errors.New("left"), struct{ of string }{"test"}
	for name, derive := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"the function's": func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} },
		"one made of it": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, left)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				marks, f, began := newTransactor(), &stuck{}, time.Now()
				w := Waiter{Form: f, Wait: 5 * time.Second, Fault: unclear}
				ctx, end := context.WithTimeoutCause(context.WithValue(t.Context(), key, 7), 2*time.Second, left)
				defer end()
				err := marks.Transact(ctx, func(ctx context.Context, tx int) error {
					ctx, end := derive(ctx)
					defer end()
					return w.Mark(ctx, tx, nil, make([]hapax.Mark, 1))
				})
				if !errors.Is(err, left) || errors.Is(err, hapax.ErrInFlight) || time.Since(began) > 2*time.Second {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
				if f.met.Value(key) != 7 || !marks.rolledBack {
					t.Error(f.met.Value(key), marks.rolledBack)
				}
			})
		})
	}
}

// A limit that a mark did not need is none for the function, nor for the commit.
func TestMarkedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		marks := newTransactor()
		err := marks.Transact(t.Context(), func(ctx context.Context, _ int) error {
			a := attemptOf(ctx)
			if err := limited(a, time.Second, func(context.Context) error { return nil }); err != nil {
				return err
			}
			<-time.After(time.Hour)
			return a.Err()
		})
		if err != nil || !marks.committed {
			t.Error(err, marks.committed)
		}
	})
}
