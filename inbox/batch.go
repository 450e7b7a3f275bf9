package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hapaxmq/hapax"
)

// handleBatch handles messages in one transaction. It returns those that it left, to
// be handled alone: all that were fresh, if the transaction was not committed.
func (t *transaction[T]) handleBatch(ctx context.Context, ds []*delivery) (left []*delivery) {
	if len(ds) < 2 {
		return ds
	}
	b := &batchAttempt[T]{t: t, ds: ds}
	err := t.marks.Transact(ctx, b.work)
	if b.reached <= asked && !errors.Is(err, hapax.ErrInFlight) && !isNameless(err) {
		for _, d := range ds {
			t.inbox.conclude(d, hapax.Result{Outcome: hapax.Unanswered}, err)
		}
		return nil
	}
	if b.reached != answered && err != nil {
		if b.reached == worked && errors.Is(err, hapax.ErrUnknown) {
			b.doubt(err)
		}
		return ds
	}
	for i, d := range ds {
		if m := b.marks[i]; m.Verdict == hapax.Fresh {
			t.inbox.conclude(d, hapax.Result{Outcome: hapax.Executed}, nil)
		} else {
			r, err := verdict(m)
			t.inbox.conclude(d, r, err)
		}
	}
	return nil
}

// batchAttempt is [attempt] for several messages at once.
type batchAttempt[T any] struct {
	t  *transaction[T]
	ds []*delivery

	reached step
	marks   []hapax.Mark
}

func (b *batchAttempt[T]) work(ctx context.Context, tx T) error {
	b.reached, b.marks = asked, make([]hapax.Mark, len(b.ds))
	for i, d := range b.ds {
		b.marks[i] = d.mark()
	}
	if err := b.t.marks.Mark(ctx, tx, b.marks); err != nil {
		return fmt.Errorf("mark %d messages: %w", len(b.marks), err)
	}
	b.reached = answered
	fresh := make([]*hapax.Message, 0, len(b.ds))
	for i, d := range b.ds {
		if b.marks[i].Verdict == hapax.Fresh {
			fresh = append(fresh, d.message)
		}
	}
	if len(fresh) == 0 {
		return errAnswered
	}
	b.reached = began
	defer b.ran(time.Now())
	if err := b.t.batch(ctx, tx, fresh); err != nil {
		return err
	}
	b.reached = worked
	return nil
}

// ran notes a run of the handler for all that were fresh.
func (b *batchAttempt[T]) ran(start time.Time) {
	for i, d := range b.ds {
		if b.marks[i].Verdict == hapax.Fresh {
			d.ran(start)
		}
	}
}

// doubt notes of those that may have been committed that a second transaction has to
// tell.
func (b *batchAttempt[T]) doubt(err error) {
	for i, d := range b.ds {
		if b.marks[i].Verdict == hapax.Fresh {
			d.unknown = err
		}
	}
}
