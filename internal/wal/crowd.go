package wal

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// crowd is the callers who wait for a tail's syncs.
type crowd struct {
	waiting atomic.Int64  // for the next sync to begin
	round   int           // of those
	most    int64         // as many as there were of late, with those whom a sync covered
	took    time.Duration // the last sync
}

// maxYields is how often gather yields at most, should the clock stand still.
const maxYields = 1 << 12

func (c *crowd) enter() (round int) {
	c.waiting.Add(1)
	return c.round
}

// leave is for who entered in a round: a sync may have covered it that began before.
func (c *crowd) leave(round int) {
	if round == c.round {
		c.waiting.Add(-1)
	}
}

// take is how many wait, whom the sync covers that begins now.
func (c *crowd) take() int {
	c.round++
	return int(c.waiting.Swap(0))
}

// covered notes a sync of a group that so many waited for.
func (c *crowd) covered(group int, took time.Duration) {
	c.most = max(c.most, int64(group)+c.waiting.Load())
	c.took = took
}

// gather lets callers whose last sync is just over come with their next frames,
// so that one sync covers them all: else they and those who waited meanwhile take
// turns, half of them a sync. It takes a quarter of a sync at most, and no time if
// nobody else was there of late. It must hold mu, which it lets go of meanwhile:
// those who come need it.
func (c *crowd) gather(mu *sync.Mutex) {
	if n := c.waiting.Load(); n == 0 || n >= c.most {
		return
	}
	mu.Unlock()
	late := false
	until := time.Now().Add(c.took / 4)
	for i := 0; !late && c.waiting.Load() < c.most; i++ {
		runtime.Gosched()
		late = i == maxYields || time.Now().After(until)
	}
	mu.Lock()
	if late {
		c.most--
	}
}
