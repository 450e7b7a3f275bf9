package inboxtest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/proxytest"
)

// away is how long a server answers nobody: half a second, and thirty with HAPAX_TORTURE in
// the environment.
func away() time.Duration {
	if os.Getenv("HAPAX_TORTURE") != "" {
		return 30 * time.Second
	}
	return time.Second / 2
}

// outage: a server that answers nobody for a while, under load, and then ends all connections.
// All that is delivered until it is done takes effect once, also what was being committed when
// the server went silent (statements 27, 41).
func outage[T any](s *sitting[T]) {
	s.need(s.store.Address != "", "address")
	place, direct := s.place()
	p := proxytest.Start(s, s.store.Address)
	through := s.open(Connection{Place: place, Address: p.Address()})
	ctx, cancel := context.WithTimeout(s.Context(), away()+6*patience)
	defer cancel()
	var most atomic.Int64 // messages that somebody has done
	var stop atomic.Bool
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := 0; !stop.Load(); n++ { // each is given all of them, in their order
				if err := s.untilDone(ctx, through, n); err != nil {
					s.Error(err)
					return
				}
				most.CompareAndSwap(int64(n), int64(n)+1)
			}
		})
	}
	reach := func(n int64) {
		for most.Load() < n && !s.Failed() && ctx.Err() == nil {
			<-time.After(time.Millisecond)
		}
	}
	const before, behind = 20, 20
	reach(before)
	p.Freeze()
	<-time.After(away())
	done := most.Load()
	p.Sever()
	p.Thaw()
	reach(done + behind)
	stop.Store(true)
	all.Wait()
	want := map[string]int{}
	for n := range int(most.Load()) {
		want[fmt.Sprint(n)] = 1
	}
	s.effects(direct, want)
}

// untilDone handles a message until it is marked, however often that takes.
func (s *sitting[T]) untilDone(ctx context.Context, i *Instance[T], n int) error {
	for {
		m, err := handle(ctx, i, s.store.Message(n), fmt.Sprint(n))
		switch {
		case err == nil && (m.Verdict == hapax.Fresh || m.Verdict == hapax.Duplicate):
			return nil
		case err == nil:
			return fmt.Errorf("message %d is %v", n, m.Verdict)
		case ctx.Err() != nil:
			return fmt.Errorf("message %d is not done: %w", n, err)
		}
		<-time.After(time.Millisecond)
	}
}
