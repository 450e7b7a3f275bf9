package ledger

import (
	"runtime"
	"sync"
	"time"
)

// crowd is the callers who wait for the journal's syncs.
type crowd struct {
	callers int           // now
	most    int           // as many as there were of late
	took    time.Duration // the last sync
}

func (c *crowd) enter() {
	c.callers++
	c.most = max(c.most, c.callers)
}

func (c *crowd) leave() { c.callers-- }

// gather lets callers whose last sync is just over come with their next frames,
// so that one sync covers them all: else they and those who waited meanwhile take
// turns, half of them a sync. It takes a quarter of a sync at most, and no time if
// nobody else was there of late. It must hold mu, which it lets go of meanwhile.
func (c *crowd) gather(mu *sync.Mutex) {
	if c.callers >= c.most {
		return
	}
	for until := time.Now().Add(c.took / 4); c.callers < c.most; {
		if time.Now().After(until) {
			c.most--
			return
		}
		mu.Unlock()
		runtime.Gosched()
		mu.Lock()
	}
}
