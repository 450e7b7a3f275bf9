package marking

import (
	"context"
	"errors"
	"time"

	"github.com/hapaxmq/hapax"
)

// Column is the form whose mark is a unique column of the user's own.
type Column[T any] struct {
	Raw    func(Tx) T
	Insert func(ctx context.Context, tx T, m *hapax.Mark) (fresh bool, err error)
}

// Mark is the method of [Form].
func (f *Column[T]) Mark(ctx context.Context, tx Tx, marks []hapax.Mark, _ time.Duration) error {
	for i := range marks {
		m := &marks[i]
		m.Verdict, m.Receipt = 0, nil
		fresh, err := f.Insert(ctx, f.Raw(tx), m)
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

// Keep is the method of [Form].
func (f *Column[T]) Keep(_ context.Context, _ Tx, m *hapax.Mark) error { return keepNone(m) }
