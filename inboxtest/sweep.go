package inboxtest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hapaxmq/hapax"
)

// sweep: what is older than the window is forgotten, whoever sweeps at the same time,
// and nothing else is (statements 37, 39).
func sweep[T any](s *sitting[T]) {
	_, i := s.place()
	s.need(i.Sweep != nil && i.Age != nil, "Sweep and Age")
	const old = 12_345
	marks := make([]hapax.Mark, old)
	for n := range marks {
		marks[n] = s.store.Message(n)
	}
	s.markAll(i, marks)
	rows, err := i.Sweep(s.Context(), time.Hour)
	s.must(err)
	if rows != 0 {
		s.Errorf("%d marks inside of the window were forgotten", rows)
	}
	s.must(i.Age(s.Context(), time.Hour-time.Minute))
	young := []hapax.Mark{s.store.Message(old), s.store.Message(old + 1)}
	s.markAll(i, young)
	if rows, err = i.Sweep(s.Context(), time.Hour); err != nil || rows != 0 {
		s.Errorf("%d marks inside of the window were forgotten (error: %v)", rows, err)
	}
	s.must(i.Age(s.Context(), 2*time.Minute))
	var sweepers sync.WaitGroup
	var forgotten atomic.Int64
	for range 4 {
		sweepers.Go(func() {
			rows, err := i.Sweep(s.Context(), time.Hour)
			if err != nil {
				s.Error(err)
			}
			forgotten.Add(rows)
		})
	}
	sweepers.Wait()
	rows, err = i.Sweep(s.Context(), time.Hour) // rows that two were at may be left
	s.must(err)
	if got := forgotten.Add(rows); got != old {
		s.Errorf("%d marks were forgotten, want %d", got, old)
	}
	s.want(s.handle(i, young[0], "young"), hapax.Duplicate)
	s.want(s.handle(i, s.store.Message(1), "old"), hapax.Fresh)
	s.effects(i, map[string]int{"old": 1})
}

// markAll marks messages in one transaction, all of which must be fresh.
func (s *sitting[T]) markAll(i *Instance[T], marks []hapax.Mark) {
	s.Helper()
	s.must(i.Marks.Transact(s.Context(), func(ctx context.Context, tx T) error { return i.Marks.Mark(ctx, tx, marks) }))
	for _, m := range marks {
		s.want(m, hapax.Fresh)
	}
}
