package ledger

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
)

// evicting is a ledger whose disk is full, so that the oldest leave early.
type evicting struct {
	*budgeted
	admitted int
}

const evictedEach = 10_000 // identities a batch

func newEvicting(t *testing.T) *evicting {
	e := &evicting{budgeted: newBudgeted(t, Options{
		MaxMemory: minMemory, MaxDisk: minDisk, Evict: true, Window: hapax.Window{Time: 1000 * time.Hour},
	})}
	for e.l.Stats().EvictedLive == 0 {
		if err := e.more(); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// more admits a batch of new identities.
func (e *evicting) more() error {
	e.now = e.now.Add(time.Hour)
	b := batch(e.l, e.admitted, e.admitted+evictedEach)
	e.admitted += evictedEach
	return e.l.Admit(context.Background(), b)
}

// spared fails if more than half of what was live has left.
func (e *evicting) spared(was int64) {
	e.Helper()
	if s := e.l.Stats(); s.Live < was/2 {
		e.Errorf("%d are live, and %d were; %d left early", s.Live, was, s.EvictedLive)
	}
}

// While All reads, the files of what leaves stay. What needs their room is refused then,
// and nothing more leaves for it.
func TestEvictBesideAll(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	e := newEvicting(t)
	next, stop := iter.Pull2(e.l.All())
	defer stop()
	for e.l.cold.readers == 0 {
		if _, err, ok := next(); err != nil || !ok {
			t.Fatal(err, ok)
		}
	}
	was := e.l.Stats().Live
	var err error
	for range 100 {
		if err = e.more(); err != nil {
			break
		}
	}
	if !errors.Is(err, hapax.ErrFull) {
		t.Errorf("beside All: %v", err)
	}
	e.spared(was)
	stop()
	for range 100 {
		if err := e.more(); err != nil {
			t.Fatal(err)
		}
	}
	e.spared(was)
}

// A batch that reads cold files is waited for.
func TestEvictBesideReaders(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	synctest.Test(t, func(t *testing.T) {
		e := newEvicting(t)
		was := e.l.Stats().Live
		e.l.mu.Lock()
		e.l.cold.readers++ // as askCold does
		e.l.mu.Unlock()
		var done sync.WaitGroup
		ended := false
		done.Go(func() {
			for range 100 {
				if err := e.more(); err != nil {
					t.Error(err)
				}
			}
			ended = true
		})
		synctest.Wait()
		if ended {
			t.Error("nobody waited for the reader")
		}
		e.spared(was)
		e.l.mu.Lock()
		e.l.cold.endRead()
		e.l.mu.Unlock()
		done.Wait()
		e.spared(was)
	})
}
