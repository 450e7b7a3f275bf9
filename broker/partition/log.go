package partition

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/hapaxmq/hapax/internal/wal"
)

// Log is a node's log as all its partitions use it. It knows which of them have
// readers to be told when it is synced.
type Log struct {
	wal  *wal.Log // nil while the node is opening
	gate sync.RWMutex

	watching atomic.Int64 // readers, by partition

	mu      sync.Mutex
	touched []*Partition // appended to since, each once
}

// Use is called once the log is open, before anything is appended.
func (l *Log) Use(w *wal.Log) { l.wal = w }

// Begin keeps snapshots out until End: what is appended between the two, and what
// its frames change, is in a snapshot as a whole or not at all. Any number of
// goroutines may be between them, none twice, and no lock may be held at Begin.
func (l *Log) Begin() { l.gate.RLock() }

// End ends it.
func (l *Log) End() { l.gate.RUnlock() }

// Append appends a frame and returns where it is, between Begin and End. See
// [wal.Log.Append].
func (l *Log) Append(kind uint8, parts ...[]byte) (wal.Position, error) {
	return l.wal.Append(kind, parts...)
}

// appendBatch appends a batch behind the head of its frame, and returns where the
// batch begins in its file.
func (l *Log) appendBatch(head, copies, b []byte) (at wal.Position, begins int64, err error) {
	if len(copies) == 0 {
		at, err = l.Append(FrameBatch, head, b)
		return at, at.Offset + int64(len(head)), err
	}
	count := binary.LittleEndian.AppendUint32(nil, uint32(len(copies)/16))
	at, err = l.Append(FrameTogether, count, copies, head, b)
	return at, at.Offset + int64(len(count)+len(copies)+len(head)), err
}

// Sync returns once the log up to end is durable.
func (l *Log) Sync(end int64) error { return l.wal.Sync(end) }

// Hold calls f, which takes a snapshot, while nobody is between Begin and End. It
// is [wal.Options.Hold].
func (l *Log) Hold(f func() error) error {
	l.gate.Lock()
	defer l.gate.Unlock()
	return f()
}

// synced is how much of the log is durable. What was read when the node was opened
// is.
func (l *Log) synced() int64 {
	if l.wal == nil {
		return 0
	}
	return l.wal.Synced()
}

// touch notes that a partition was appended to.
func (l *Log) touch(p *Partition) {
	if p.touched.Swap(true) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.touched = append(l.touched, p)
}

// Watched tells whether any reader waits to be told. Who begins to wait now finds
// what was synced before.
func (l *Log) Watched() bool { return l.watching.Load() > 0 }

// Committed tells readers that the log was synced, or has failed. One call at a
// time.
func (l *Log) Committed() {
	l.mu.Lock()
	touched := l.touched
	l.touched = nil
	l.mu.Unlock()
	for _, p := range touched {
		p.touched.Store(false)
		if p.wake() {
			l.touch(p) // some of it is not durable yet
		}
	}
}
