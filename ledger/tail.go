package ledger

import (
	"runtime"
	"sync"
	"time"

	"github.com/hapaxmq/hapax/internal/segment"
)

// tail is the end of the log, which callers wait for without the ledger's mu:
// while one of them syncs, the frames of others gather behind it, and the next
// sync covers them all.
type tail struct {
	durability Durability

	mu      sync.Mutex
	syncing bool       // a caller of sync is at it
	synced  *sync.Cond // it is done
	crowd   crowd      // who waits for one

	w    *segment.Writer // of the newest file
	base int64           // bytes in files before it: offsets in the log go on over files
	shut bool            // w is sealed too, and counts as one of them
}

func (t *tail) init(d Durability) {
	t.durability = d
	t.synced = sync.NewCond(&t.mu)
}

// goOn goes on in a new file. The one before it is sealed.
func (t *tail) goOn(w *segment.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.w != nil {
		t.base += t.w.Size()
	}
	t.w = w
}

// over tells who still waits for the newest file that it is durable: it is sealed,
// and none comes after it.
func (t *tail) over() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.base += t.w.Size()
	t.shut = true
}

// end is the log's length: what waits for it waits for all before.
func (t *tail) end() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shut {
		return t.base
	}
	return t.base + t.w.Size()
}

// wait returns once the log up to end is as durable as promised.
func (t *tail) wait(end int64) error {
	if t.durability == Synced {
		return t.sync(end)
	}
	return t.flush(end)
}

// flush returns once the log up to end is with the operating system.
func (t *tail) flush(end int64) error {
	w, base := t.newest()
	if end <= base {
		return nil
	}
	if base+w.Flushed() >= end {
		return t.unlessSealed(end, w.Err())
	}
	return t.unlessSealed(end, w.Flush())
}

// sync returns once the log up to end is durable. One caller syncs for all who
// wait; those whose frames its sync covered go on, and of the others one is next.
func (t *tail) sync(end int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.crowd.enter()
	defer t.crowd.leave()
	for end > t.base && t.base+t.w.Synced() < end {
		if t.syncing {
			t.synced.Wait()
			continue
		}
		t.syncing = true
		t.crowd.gather(&t.mu)
		w := t.w
		t.mu.Unlock()
		start := time.Now()
		err := w.Sync()
		t.mu.Lock()
		t.crowd.took, t.syncing = time.Since(start), false
		t.synced.Broadcast()
		if err != nil && end > t.base {
			return err
		}
	}
	return nil
}

// unlessSealed is err, unless the log up to end was made durable by a roll that
// closed the file while its caller was waiting.
func (t *tail) unlessSealed(end int64, err error) error {
	if err == nil {
		return nil
	}
	if _, base := t.newest(); end <= base {
		return nil
	}
	return err
}

func (t *tail) newest() (*segment.Writer, int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.w, t.base
}

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
