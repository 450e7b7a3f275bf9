package inboxtest

import (
	"context"
	"errors"
	"time"

	"github.com/hapaxmq/hapax"
)

// ended: a function that commits or rolls back the transaction by itself is told of
// (statement 28), and never taken for one that did not.
func ended[T any](s *sitting[T]) {
	_, i := s.place()
	s.need(i.Commit != nil && i.Rollback != nil, "Commit and Rollback")
	for n, end := range []func(context.Context, T) error{i.Rollback, i.Commit} {
		err := i.Marks.Transact(s.Context(), func(ctx context.Context, tx T) error {
			marks := []hapax.Mark{s.store.Message(n)}
			if err := i.Marks.Mark(ctx, tx, marks); err != nil {
				return err
			}
			return end(ctx, tx)
		})
		if !errors.Is(err, hapax.ErrUnknown) {
			s.Errorf("error %v, want ErrUnknown", err)
		}
	}
	s.want(s.handle(i, s.store.Message(1), "committed"), hapax.Duplicate)
}

// clash: what the database could not serialise runs again in a new transaction, and
// its context tells (statement 26).
func clash[T any](s *sitting[T]) {
	_, i := s.place()
	s.need(i.Clash != nil, "Clash")
	runs := 0
	s.must(i.Marks.Transact(s.Context(), func(ctx context.Context, tx T) error {
		if runs++; i.Rerun != nil && i.Rerun(ctx) != (runs > 1) {
			s.Errorf("run %d: Rerun is %t", runs, i.Rerun(ctx))
		}
		marks := []hapax.Mark{s.store.Message(1)}
		if err := i.Marks.Mark(ctx, tx, marks); err != nil {
			return err
		}
		s.want(marks[0], hapax.Fresh)
		if err := i.Effect(ctx, tx, "done"); err != nil {
			return err
		}
		if runs < 3 {
			return i.Clash(ctx, tx)
		}
		return nil
	}))
	if runs != 3 {
		s.Errorf("%d runs, want 3", runs)
	}
	s.want(s.handle(i, s.store.Message(1), "again"), hapax.Duplicate)
	s.effects(i, map[string]int{"done": 1})
}

// lastingClash: runs are bounded, and what stopped the last one comes back.
func lastingClash[T any](s *sitting[T]) {
	_, i := s.place()
	s.need(i.Clash != nil, "Clash")
	var last error
	err := i.Marks.Transact(s.Context(), func(ctx context.Context, tx T) error {
		last = i.Clash(ctx, tx)
		return last
	})
	if err == nil || !errors.Is(err, last) {
		s.Errorf("error %v, want that of the last run, %v", err, last)
	}
	s.want(s.handle(i, s.store.Message(1), "done"), hapax.Fresh)
}

// hold marks a message in a transaction that stays open, until release is called.
func (s *sitting[T]) hold(i *Instance[T], m hapax.Mark, key string) (release func(error)) {
	s.Helper()
	held, end, ended := make(chan error, 1), make(chan error), make(chan error, 1)
	go func() {
		err := i.Marks.Transact(s.Context(), func(ctx context.Context, tx T) error {
			marks := []hapax.Mark{m}
			if err := i.Marks.Mark(ctx, tx, marks); err != nil {
				return err
			}
			s.want(marks[0], hapax.Fresh)
			if err := i.Effect(ctx, tx, key); err != nil {
				return err
			}
			held <- nil
			return <-end
		})
		held <- err // unless it was held
		ended <- err
	}()
	s.must(<-held)
	return func(err error) {
		s.Helper()
		end <- err
		if got := <-ended; !errors.Is(got, err) {
			s.Errorf("the holder ended with %v, want %v", got, err)
		}
	}
}

// waitForRollback: a copy waits while the first is handled, and runs if that failed
// (statements 8, 24).
func waitForRollback[T any](s *sitting[T]) {
	_, i := s.place()
	release := s.hold(i, s.store.Message(1), "failed")
	done := make(chan error, 1)
	go func() {
		m, err := redeliver(s.Context(), i, s.store.Message(1), "done")
		s.want(m, hapax.Fresh)
		done <- err
	}()
	release(errors.New("out of paper"))
	s.must(<-done)
	s.effects(i, map[string]int{"done": 1})
}

// waitTooLong: a copy does not wait for ever. It is in flight then, and nothing is
// marked; once the first has ended it is a duplicate (statement 24).
func waitTooLong[T any](s *sitting[T]) {
	place, i := s.place()
	hasty := s.open(Connection{Place: place, Wait: 100 * time.Millisecond})
	release := s.hold(i, s.store.Message(2), "first")
	began := time.Now()
	err := hasty.Marks.Transact(s.Context(), func(ctx context.Context, tx T) error {
		return hasty.Marks.Mark(ctx, tx, []hapax.Mark{s.store.Message(1), s.store.Message(2), s.store.Message(3)})
	})
	var inFlight *hapax.InFlightError
	if !errors.As(err, &inFlight) {
		s.Errorf("error %v, want an InFlightError", err)
	}
	if took := time.Since(began); took > patience {
		s.Errorf("waited for %v", took)
	}
	release(nil)
	s.want(s.handle(hasty, s.store.Message(2), "copy"), hapax.Duplicate)
	s.want(s.handle(hasty, s.store.Message(3), "third"), hapax.Fresh)
	s.effects(i, map[string]int{"first": 1, "third": 1})
}

// join: in a transaction of the user's own a copy in flight is in flight at once; the
// transaction goes on, and so do what it did before and does behind (statement 24).
func join[T any](s *sitting[T]) {
	place, _ := s.place()
	i := s.open(Connection{Place: place, Wait: 2 * patience}) // for those whose transaction is the store's
	s.need(i.Begin != nil && i.Commit != nil, "Begin and Commit")
	ctx := s.Context()
	tx, err := i.Begin(ctx)
	s.must(err)
	marks := []hapax.Mark{s.store.Message(1)}
	s.must(i.Marks.Mark(ctx, tx, marks))
	s.want(marks[0], hapax.Fresh)
	s.must(i.Effect(ctx, tx, "outer"))

	other, err := i.Begin(ctx)
	s.must(err)
	began := time.Now()
	err = i.Marks.Mark(ctx, other, []hapax.Mark{s.store.Message(1), s.store.Message(2)})
	if !errors.Is(err, hapax.ErrInFlight) {
		s.Errorf("error %v, want an InFlightError", err)
	}
	if took := time.Since(began); took > patience {
		s.Errorf("waited for %v", took)
	}
	s.must(i.Commit(ctx, tx))
	s.must(i.Effect(ctx, other, "other"))
	s.must(i.Commit(ctx, other))
	s.want(s.handle(i, s.store.Message(1), "copy"), hapax.Duplicate)
	s.want(s.handle(i, s.store.Message(2), "second"), hapax.Fresh)
	s.effects(i, map[string]int{"outer": 1, "other": 1, "second": 1})
}

// joinDuplicate: a duplicate aborts nobody's transaction, and a rollback of the user's
// own takes the mark along (statement 25).
func joinDuplicate[T any](s *sitting[T]) {
	_, i := s.place()
	s.need(i.Begin != nil && i.Commit != nil && i.Rollback != nil, "Begin, Commit and Rollback")
	ctx := s.Context()
	s.want(s.handle(i, s.store.Message(1), "first"), hapax.Fresh)
	tx, err := i.Begin(ctx)
	s.must(err)
	s.must(i.Effect(ctx, tx, "before"))
	marks := []hapax.Mark{s.store.Message(1)}
	s.must(i.Marks.Mark(ctx, tx, marks))
	s.want(marks[0], hapax.Duplicate)
	s.must(i.Effect(ctx, tx, "behind"))
	s.must(i.Commit(ctx, tx))

	tx, err = i.Begin(ctx)
	s.must(err)
	marks[0] = s.store.Message(2)
	s.must(i.Marks.Mark(ctx, tx, marks))
	s.want(marks[0], hapax.Fresh)
	s.must(i.Effect(ctx, tx, "gone"))
	s.must(i.Rollback(ctx, tx))
	s.want(s.handle(i, s.store.Message(2), "second"), hapax.Fresh)
	s.effects(i, map[string]int{"first": 1, "before": 1, "behind": 1, "second": 1})
}
