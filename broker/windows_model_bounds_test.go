package broker

import (
	"maps"
	"math/rand"
	"sync"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// rebound makes the window longer or shorter, or bounds it by something else, and may
// crash as it does.
func (m *modelled) rebound() {
	m.Helper()
	if m.keeps.Kind == hapax.Tumbling {
		return // it would be another one
	}
	is := m.keeps
	if m.r.Intn(2) == 0 {
		bounds := 1 + m.r.Int63n(7)
		is.Time, is.Count, is.Bytes = time.Duration(bounds&1), bounds>>1&1, bounds>>2
	}
	if is.Time > 0 {
		is.Time = time.Duration(4_000+m.r.Int63n(9_000)) * time.Millisecond
	}
	if is.Count > 0 {
		is.Count = 15 + m.r.Int63n(30)
	}
	if is.Bytes > 0 {
		is.Bytes = 1500 + m.r.Int63n(3000)
	}
	if other := otherBounds(m.keeps, is); other {
		m.abandon() // which of its ids come first is not all the same any more
		m.mixed = true
		if is.Count > 0 && m.r.Intn(6) == 0 {
			is.Count += 1 << 20
		}
	}
	if m.r.Intn(3) == 0 {
		m.crashWithin(is)
		return
	}
	m.alter(modelTopic, boundsSet(is))
	m.took(is, m.sure)
}

// otherBounds tells whether two windows are not bounded by the same.
func otherBounds(a, b hapax.Window) bool {
	return (a.Time == 0) != (b.Time == 0) || (a.Count == 0) != (b.Count == 0) || (a.Bytes == 0) != (b.Bytes == 0)
}

// boundsSet are the settings of a window's bounds, and of those that it has not.
func boundsSet(w hapax.Window) map[string]string {
	set := map[string]string{"hapax.window.ms": "", "hapax.window.count": "", "hapax.window.bytes": ""}
	maps.Copy(set, modelBounds(w))
	return set
}

// took notes that the bounds have changed.
func (m *modelled) took(is hapax.Window, sure time.Time) {
	m.memory.SetTime(m.now())
	m.memory.Rebound(is, sure)
	m.keeps = is
}

// crashWithin kills the node, or cuts the power, as the bounds change, or a while later.
// Then there are the old ones or the new.
func (m *modelled) crashWithin(is hapax.Window) {
	m.Helper()
	m.fuse.light(m.disk, m.r)
	m.alter(modelTopic, boundsSet(is))
	m.memory.SetTime(m.now())
	left := m.fuse.burnt()
	if err := m.stop(); err != nil {
		m.Fatal(err)
	}
	m.disk = left
	m.start()
	switch has := m.broker.topics.named(modelTopic).rules.window.Window; has {
	case m.keeps:
	case is:
		m.took(is, time.Time{}) // it did so before it had taken the end of the log
	default:
		m.Fatalf("after a crash the window is %v, it was %v and should be %v", has, m.keeps, is)
	}
	m.reopened()
}

// modelFuse makes a crash while something is done to a disk.
type modelFuse struct {
	mu    sync.Mutex
	left  int // operations
	crash func() *vfs.Mem
	disk  *vfs.Mem // what the crash has left
}

// light begins it.
func (f *modelFuse) light(disk *vfs.Mem, r *rand.Rand) {
	r = rand.New(rand.NewSource(r.Int63())) // a goroutine's of the node
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.disk, f.crash = 1+r.Intn(40), nil, disk.KillCopy
	if r.Intn(2) == 0 {
		f.crash = func() *vfs.Mem { return disk.PowerLoss(r) }
	}
}

// burn is the disk's hook.
func (f *modelFuse) burn(op vfs.Op, _ string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crash == nil || !op.Changes() {
		return nil
	}
	if f.left--; f.left == 0 {
		f.disk = f.crash()
	}
	return nil
}

// burnt puts it out, and returns what it has left.
func (f *modelFuse) burnt() *vfs.Mem {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.disk == nil {
		f.disk = f.crash()
	}
	f.crash = nil
	return f.disk
}
