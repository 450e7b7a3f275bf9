package inboxtest

import (
	"context"
	"fmt"
	"sync"

	"github.com/hapaxmq/hapax"
)

const (
	competitors = 64 // in each of two processes
	contested   = 6  // messages
)

// race: of copies that are handled at once, by many goroutines of two processes, one
// runs; each of the others learns so, and none runs afterwards (statements 8, 9, 29).
func race[T any](s *sitting[T]) {
	place, i := s.place()
	other := s.start("race", place, 0)
	other.Order()
	if err := s.compete(i); err != nil {
		s.Error(err)
	}
	other.Hear("done")
	other.End()
	want := map[string]int{}
	for n := range contested {
		want[fmt.Sprint(n)] = 1
		s.want(s.handle(i, s.store.Message(n), "afterwards"), hapax.Duplicate)
	}
	s.effects(i, want)
}

// compete handles the same messages in many goroutines.
func (s *sitting[T]) compete(i *Instance[T]) error {
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	failures := make(chan error, competitors)
	start := make(chan struct{})
	var all sync.WaitGroup
	for range competitors {
		all.Go(func() {
			<-start
			for n := range contested {
				m, err := redeliver(ctx, i, s.store.Message(n), fmt.Sprint(n))
				if err == nil && m.Verdict != hapax.Fresh && m.Verdict != hapax.Duplicate {
					err = fmt.Errorf("message %d is %v", n, m.Verdict)
				}
				if err != nil {
					failures <- err
					return
				}
			}
		})
	}
	close(start)
	all.Wait()
	close(failures)
	return <-failures
}
