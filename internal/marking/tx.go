package marking

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

// Tx is a transaction of any driver.
type Tx interface {
	// Exec runs a statement that returns no rows.
	Exec(ctx context.Context, statement string, args ...any) (Done, error)
	// Query runs a statement and calls row for each row that it returns.
	Query(ctx context.Context, row func(scan func(into ...any) error) error, statement string, args ...any) error
}

// Done is what a statement without rows did. A driver leaves last at zero if its
// database has no such thing.
type Done struct {
	Rows int64
	Last int64 // the last insert id
}

// Form is a way of making marks. It is told how long to wait for others.
type Form interface {
	Mark(ctx context.Context, tx Tx, marks []hapax.Mark, wait time.Duration) error
	Keep(ctx context.Context, tx Tx, m *hapax.Mark) error
}

// Waiter marks in a form as the transaction allows.
type Waiter struct {
	Form  Form
	Wait  time.Duration
	Fault func(error) sqltext.Fault
}

// noWait is how long marks wait in the transaction of somebody else: as good as not
// at all, but long enough for the short locks that any insert may take.
const noWait = 10 * time.Millisecond

// limited runs a statement that knows no limit of waiting. Where the context ends it,
// the connection is lost, so it is for transactions that need not outlive it.
func limited(ctx context.Context, wait time.Duration, try func(context.Context) error) error {
	if a, own := ctx.(*attempt); own {
		return a.limited(wait, try)
	}
	bounded, end := context.WithTimeout(ctx, wait)
	defer end()
	err := try(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return &hapax.InFlightError{}
	}
	return err
}

// limited is [limited] in the transaction of an attempt, which ends with it.
func (a *attempt) limited(wait time.Duration, try func(context.Context) error) error {
	limit := a.endIn(wait)
	err := try(a)
	limit.Stop()
	if a.Err() != nil { // the transaction has ended
		return &hapax.InFlightError{}
	}
	return err
}

// atMost runs a statement that waits for so long at most. All but those of MySQL say so
// themselves.
func atMost(ctx context.Context, tx Tx, d sqltext.Dialect, wait time.Duration, try func(context.Context) error) error {
	switch {
	case d != sqltext.MySQL:
		return try(ctx)
	case wait <= noWait:
		return hastened(ctx, tx, d, wait, func() error { return try(ctx) })
	default:
		return limited(ctx, wait, try)
	}
}

// hastened runs statements of a transaction that must outlive them, which wait for so
// long at most. What failed in PostgreSQL is undone to a savepoint, the limit with it.
func hastened(ctx context.Context, tx Tx, d sqltext.Dialect, wait time.Duration, try func() error) error {
	if _, err := tx.Exec(ctx, sqltext.Hasten(d, wait)); err != nil {
		return err
	}
	err := try()
	if err != nil && d == sqltext.Postgres {
		return err
	}
	if _, e := tx.Exec(ctx, sqltext.Calm(d)); err == nil {
		err = e
	}
	return err
}

const savepoint = "hapax_mark"

// Mark makes marks in tx, which the driver knows as own.
func (w *Waiter) Mark(ctx context.Context, own any, tx Tx, marks []hapax.Mark) error {
	if len(marks) == 0 {
		return nil
	}
	a := attemptOf(ctx)
	if a == nil || a.tx != own {
		return w.join(ctx, tx, marks)
	}
	bound := ctx
	if ctx == a.given { // which a ends with
		bound = a
	}
	err := w.Form.Mark(bound, tx, marks, w.Wait)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	} else if w.Fault(err) == sqltext.Locked || w.Fault(err) == sqltext.Busy {
		err = &hapax.InFlightError{}
	}
	a.spoiled = fmt.Errorf("mark: %w", err)
	return a.spoiled
}

// join makes marks in a transaction that goes on whatever they meet.
func (w *Waiter) join(ctx context.Context, tx Tx, marks []hapax.Mark) error {
	if _, err := tx.Exec(ctx, "SAVEPOINT "+savepoint); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	err := w.Form.Mark(ctx, tx, marks, min(noWait, w.Wait))
	if err != nil {
		if _, undo := tx.Exec(ctx, "ROLLBACK TO SAVEPOINT "+savepoint); undo != nil {
			return fmt.Errorf("mark: %w", errors.Join(err, undo))
		}
		switch w.Fault(err) {
		case sqltext.Locked, sqltext.Busy, sqltext.Again: // somebody is at a copy, or was since the transaction's snapshot
			err = &hapax.InFlightError{}
		}
	}
	if _, release := tx.Exec(ctx, "RELEASE SAVEPOINT "+savepoint); release != nil && err == nil {
		err = release
	}
	if err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	return nil
}
