package wal

import (
	"sync"
	"time"

	"github.com/hapaxmq/hapax/internal/segment"
)

// Tail is the end of a log, which callers wait for without a lock on the log: while
// one of them syncs, the frames of others gather behind it, and the next sync covers
// them all. Offsets are of the log: they go on over its files, and begin at zero
// when it is opened. All methods may be called by several goroutines at once.
type Tail struct {
	done func() // called after each sync, must not wait; nil: nobody asked

	mu      sync.Mutex
	syncing bool       // a caller of Sync is at it
	synced  *sync.Cond // it is done
	crowd   crowd      // who waits for one

	w    *segment.Writer // of the newest file
	base int64           // bytes in files before it
	last *segment.Writer // of the file before it, until all of that is durable
	shut bool            // w is sealed too, and counts as one of them
}

func (t *Tail) init() { t.synced = sync.NewCond(&t.mu) }

// GoOn goes on in a new file. All of the one before it is flushed, and all of
// those before that is durable. Nothing is written to the new file before all of
// the last one is durable: so whoever finds a frame in the new file knows that the
// last one was whole.
func (t *Tail) GoOn(w *segment.Writer) {
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
func (t *Tail) settleLast() {
	if t.last != nil && t.last.Synced() == t.last.Size() {
		t.last = nil
	}
}

// oldest is the writer of the oldest file that is not durable. It must hold mu.
func (t *Tail) oldest() *segment.Writer {
	if t.last != nil {
		return t.last
	}
	return t.w
}

// Over tells who still waits for the newest file that it is durable: it is sealed,
// and none comes after it.
func (t *Tail) Over() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.base += t.w.Size()
	t.shut = true
}

// End is the log's length: what waits for it waits for all before.
func (t *Tail) End() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shut {
		return t.base
	}
	return t.base + t.w.Size()
}

// durable is how much of the log is on disk. It must hold mu.
func (t *Tail) durable() int64 {
	if t.last != nil {
		return t.base - t.last.Size() + t.last.Synced()
	}
	return t.base + t.w.Synced()
}

// Flush returns once the log up to end is with the operating system.
func (t *Tail) Flush(end int64) error {
	t.mu.Lock()
	w, base, last := t.w, t.base, t.last
	t.mu.Unlock()
	if end <= base {
		return nil
	}
	if last != nil {
		if err := t.Settle(base); err != nil {
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
func (t *Tail) unlessBehind(end int64, err error) error {
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

// Sync is Settle for a caller who may come again with more: others wait for it a
// moment.
func (t *Tail) Sync(end int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.durable() >= end {
		return nil
	}
	round := t.crowd.enter()
	defer t.crowd.leave(round)
	return t.settleLocked(end)
}

// Synced is the offset before which all of the log is durable.
func (t *Tail) Synced() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.durable()
}

// expect counts in one who waits for the log up to end by other means than Sync, and
// tells whether there is anything to wait for.
func (t *Tail) expect(end int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.durable() >= end {
		return false
	}
	t.crowd.enter()
	return true
}

// Settle returns once the log up to end is durable. One caller syncs for all who
// wait; those whose frames its sync covered go on, and of the others one is next.
func (t *Tail) Settle(end int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.settleLocked(end)
}

// settleLocked is Settle for who holds mu.
func (t *Tail) settleLocked(end int64) error {
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
		if t.done != nil {
			t.done()
		}
		if err != nil && t.durable() < end {
			return err
		}
	}
	return nil
}
