package inboxtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
)

// sitting is one check of one store.
type sitting[T any] struct {
	testing.TB
	store     Store[T]
	isolation sql.IsolationLevel
}

// place makes a place and opens it.
func (s *sitting[T]) place() (string, *Instance[T]) {
	s.Helper()
	place := s.store.Create(s)
	return place, s.open(Connection{Place: place})
}

func (s *sitting[T]) open(c Connection) *Instance[T] {
	s.Helper()
	c.Isolation = s.isolation
	return s.store.Open(s, c)
}

// need skips the check if a lever of the store is missing.
func (s *sitting[T]) need(lever bool, name string) {
	s.Helper()
	if !lever {
		s.Skipf("the store has no %s", name)
	}
}

func (s *sitting[T]) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// handle handles one message, with one effect, and returns its verdict.
func (s *sitting[T]) handle(i *Instance[T], m hapax.Mark, key string) hapax.Mark {
	s.Helper()
	m, err := handle(s.Context(), i, m, key)
	s.must(err)
	return m
}

func (s *sitting[T]) want(m hapax.Mark, v hapax.Verdict) {
	s.Helper()
	if m.Verdict != v {
		s.Errorf("%v, want %v", m.Verdict, v)
	}
}

// effects compares what is committed.
func (s *sitting[T]) effects(i *Instance[T], want map[string]int) {
	s.Helper()
	got, err := i.Effects(s.Context())
	s.must(err)
	for key, n := range want {
		if got[key] != n {
			s.Errorf("%d effects of %q, want %d", got[key], key, n)
		}
	}
	for key, n := range got {
		if _, ok := want[key]; !ok {
			s.Errorf("%d effects of %q, want none", n, key)
		}
	}
}

// handle does what a consumer does: mark, then the effect if fresh, then commit.
func handle[T any](ctx context.Context, i *Instance[T], m hapax.Mark, key string) (hapax.Mark, error) {
	marks := []hapax.Mark{m}
	err := i.Marks.Transact(ctx, func(ctx context.Context, tx T) error {
		if err := i.Marks.Mark(ctx, tx, marks); err != nil {
			return err
		}
		if marks[0].Verdict != hapax.Fresh {
			return nil
		}
		return i.Effect(ctx, tx, key)
	})
	return marks[0], err
}

// redeliver handles a message as often as it takes, like a broker that gives it again.
func redeliver[T any](ctx context.Context, i *Instance[T], m hapax.Mark, key string) (hapax.Mark, error) {
	var errs []error
	for range 100 {
		done, err := handle(ctx, i, m, key)
		if err == nil {
			return done, nil
		}
		errs = append(errs, err)
	}
	return m, fmt.Errorf("delivered 100 times: %w", errors.Join(slices.CompactFunc(errs, sameText)...))
}

func sameText(a, b error) bool { return a.Error() == b.Error() }

// patience is how long the exam waits for what must come.
const patience = 30 * time.Second
