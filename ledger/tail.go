package ledger

import (
	"runtime"
	"sync"
	"sync/atomic"
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
	last *segment.Writer // of the file before it, until all of that is durable
	shut bool            // w is sealed too, and counts as one of them
}

func (t *tail) init(d Durability) {
	t.durability = d
	t.synced = sync.NewCond(&t.mu)
}

// goOn goes on in a new file. All of the one before it is flushed, and all of
// those before that is durable. Nothing is written to the new file before all of
// the last one is durable: so whoever finds a snapshot in the new file knows
// that the last one was whole.
func (t *tail) goOn(w *segment.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.w != nil {
		t.base += t.w.Size()
		t.last = t.w
		t.settleLast()
	}
	t.w = w
}

// settleLast lets go of the file before the newest if all of it is durable. It
// must hold mu.
func (t *tail) settleLast() {
	if t.last != nil && t.last.Synced() == t.last.Size() {
		t.last = nil
	}
}

// oldest is the writer of the oldest file that is not durable. It must hold mu.
func (t *tail) oldest() *segment.Writer {
	if t.last != nil {
		return t.last
	}
	return t.w
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

// durable is how much of the log is on disk. It must hold mu.
func (t *tail) durable() int64 {
	if t.last != nil {
		return t.base - t.last.Size() + t.last.Synced()
	}
	return t.base + t.w.Synced()
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
	t.mu.Lock()
	w, base, last := t.w, t.base, t.last
	t.mu.Unlock()
	if end <= base {
		return nil
	}
	if last != nil {
		if err := t.settle(base); err != nil {
			return err
		}
	}
	if base+w.Flushed() >= end {
		return t.unlessBehind(end, w.Err())
	}
	return t.unlessBehind(end, w.Flush())
}

// unlessBehind is err, unless the log went on in another file, or was closed, while
// its caller was waiting: then all before was flushed.
func (t *tail) unlessBehind(end int64, err error) error {
	if err == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if end <= t.base {
		return nil
	}
	return err
}

// sync is settle for a caller who may come again with more: others wait for it a
// moment.
func (t *tail) sync(end int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.durable() >= end {
		return nil
	}
	round := t.crowd.enter()
	defer t.crowd.leave(round)
	return t.settleLocked(end)
}

// settle returns once the log up to end is durable. One caller syncs for all who
// wait; those whose frames its sync covered go on, and of the others one is next.
func (t *tail) settle(end int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.settleLocked(end)
}

// settleLocked is settle for who holds mu.
func (t *tail) settleLocked(end int64) error {
	for t.durable() < end {
		if t.syncing {
			t.synced.Wait()
			continue
		}
		t.syncing = true
		w, group := t.last, 0
		if w == nil {
			t.crowd.gather(&t.mu)
			w, group = t.oldest(), t.crowd.take()
		}
		t.mu.Unlock()
		start := time.Now()
		err := w.Sync()
		t.mu.Lock()
		t.crowd.covered(group, time.Since(start))
		t.syncing = false
		t.settleLast()
		t.synced.Broadcast()
		if err != nil && t.durable() < end {
			return err
		}
	}
	return nil
}

// crowd is the callers who wait for the journal's syncs.
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
