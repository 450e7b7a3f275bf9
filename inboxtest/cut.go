package inboxtest

import (
	"bytes"
	"context"
	"errors"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/proxytest"
)

// cuts: if the connection is lost in COMMIT, the outcome is unknown, and another
// transaction's mark tells it (statement 27).
func cuts[T any](s *sitting[T]) {
	s.need(s.store.Address != "", "address")
	place, direct := s.place()
	p := proxytest.Start(s, s.store.Address)
	i := s.open(Connection{Place: place, Address: p.Address()})
	for n, c := range []struct {
		name string
		when proxytest.When
		want hapax.Verdict
	}{
		{"committed", proxytest.After, hapax.Duplicate},
		{"lost", proxytest.Before, hapax.Fresh},
	} {
		marks := []hapax.Mark{s.store.Message(n)}
		runs := 0
		err := i.Marks.Transact(s.Context(), func(ctx context.Context, tx T) error {
			runs++
			if err := i.Marks.Mark(ctx, tx, marks); err != nil {
				return err
			}
			s.want(marks[0], hapax.Fresh)
			if err := i.Effect(ctx, tx, c.name); err != nil {
				return err
			}
			p.Cut(c.when, isCommit)
			return nil
		})
		if !errors.Is(err, hapax.ErrUnknown) {
			s.Errorf("%s: error %v, want ErrUnknown", c.name, err)
		}
		if runs != 1 {
			s.Errorf("%s: ran %d times: what may be committed must not run again", c.name, runs)
		}
		m, err := redeliver(s.Context(), i, s.store.Message(n), c.name)
		s.must(err)
		s.want(m, c.want)
	}
	s.effects(direct, map[string]int{"committed": 1, "lost": 1})
}

// isCommit knows a COMMIT by the word, in statements that are not encrypted.
func isCommit(said []byte) bool { return bytes.Contains(bytes.ToLower(said), []byte("commit")) }
