package marking

import (
	"context"
	"errors"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

// Column is the form whose mark is a unique column of the user's own.
type Column[T any] struct {
	Dialect sqltext.Dialect
	Fault   func(error) sqltext.Fault
	Raw     func(Tx) T
	Insert  func(ctx context.Context, tx T, m *hapax.Mark) (fresh bool, err error)
}

// Mark is the method of [Form]. The statement is the user's and knows no limit of
// waiting. The database is told one if the transaction must outlive it; else the context
// has it, which costs nothing but, where it ends, the connection.
func (f *Column[T]) Mark(ctx context.Context, tx Tx, marks []hapax.Mark, wait time.Duration) error {
	if a, own := ctx.(*attempt); own {
		ctx = a.given // which has the caller's deadline
	}
	if f.Dialect != sqltext.SQLite && wait <= noWait {
		return hastened(ctx, tx, f.Dialect, wait, func() error { return f.mark(ctx, tx, marks, patience) })
	}
	return f.mark(ctx, tx, marks, wait)
}

func (f *Column[T]) mark(ctx context.Context, tx Tx, marks []hapax.Mark, wait time.Duration) error {
	for i := range marks {
		m := &marks[i]
		m.Verdict, m.Receipt = 0, nil
		fresh, err := f.insert(ctx, tx, m, wait)
		switch {
		case errors.Is(err, hapax.ErrConflict):
			m.Verdict = hapax.Conflict
		case err != nil:
			return err
		case fresh:
			m.Verdict = hapax.Fresh
		default:
			m.Verdict = hapax.Duplicate
		}
	}
	return nil
}

// patience is how long a statement may take that has a limit of waiting of its own.
const patience = time.Minute

func (f *Column[T]) insert(ctx context.Context, tx Tx, m *hapax.Mark, wait time.Duration) (fresh bool, err error) {
	if f.Dialect == sqltext.SQLite { // which waits for nobody by itself
		err = patiently(ctx, f.Fault, wait, func() (err error) {
			fresh, err = f.Insert(ctx, f.Raw(tx), m)
			return err
		})
		return fresh, err
	}
	err = limited(ctx, wait, func(ctx context.Context) (err error) {
		fresh, err = f.Insert(ctx, f.Raw(tx), m)
		return err
	})
	return fresh, err
}

// Keep is the method of [Form].
func (f *Column[T]) Keep(_ context.Context, _ Tx, m *hapax.Mark) error { return keepNone(m) }
