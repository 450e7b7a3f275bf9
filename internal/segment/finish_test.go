package segment_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// A finished file ends with its frames, and its ending tells it from every other.
func TestFinish(t *testing.T) {
	m := newMem(t)
	w := create(t, m, small)
	must(t, w.Reserve(1000))
	if w.Allocated() != 1000 || w.Synced() != segment.FirstFrame {
		t.Errorf("reserved: %d allocated, %d synced", w.Allocated(), w.Synced())
	}
	appendFrames(t, w, 0, 5)
	before, err := w.Ending()
	must(t, err)
	if before.End != w.Size() || w.Flushed() != w.Size() {
		t.Errorf("%+v, size %d, flushed %d", before, w.Size(), w.Flushed())
	}
	appendFrames(t, w, 5, 9)
	ending, err := w.Ending()
	must(t, err)
	if ending.End == before.End || ending.Chain == before.Chain {
		t.Errorf("%+v then %+v", before, ending)
	}
	withZeros := m.KillCopy()
	must(t, w.Finish())
	must(t, w.Finish())
	wantErr(t, "append", appendError(w), fs.ErrClosed)
	left := m.PowerLoss(nil) // the size need not be durable, the frames are
	for name, disk := range map[string]*vfs.Mem{"finished": m, "killed before": withZeros, "power lost": left} {
		r := wantFrames(t, disk, segment.ScanOptions{}, 9)
		if r.Ending() != ending || r.Torn != 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if size, err := m.Stat(path); err != nil || size != ending.End {
		t.Errorf("%d bytes %v, want %d", size, err, ending.End)
	}
	r := wantFrames(t, withZeros, segment.ScanOptions{End: ending.End}, 9)
	if r.Size != ending.End {
		t.Errorf("read up to %d, want %d", r.Size, ending.End)
	}
}

func appendError(w *segment.Writer) error {
	_, err := w.Append(1)
	return err
}

// What is reserved is durable, and no later sync writes zeros while it lasts.
func TestReserve(t *testing.T) {
	m := newMem(t)
	fault := vfs.NewFault(m, nil)
	w := create(t, fault, small)
	must(t, w.Reserve(1<<20))
	if size, err := m.PowerLoss(nil).Stat(path); err != nil || size != 1<<20 {
		t.Errorf("%d bytes %v after power loss", size, err)
	}
	fault.Record()
	for i := range 9 {
		appendFrames(t, w, i, i+1)
		must(t, w.Sync())
	}
	if writes := strings.Count(fault.Transcript(), "write "); writes != 9 {
		t.Errorf("%d writes for 9 groups", writes)
	}
	must(t, w.Reserve(100)) // it has more
	must(t, w.Close())
	wantErr(t, "reserve", w.Reserve(2<<20), fs.ErrClosed)
}

// A flush waits for no sync.
func TestFlushDuringSync(t *testing.T) {
	m := newMem(t)
	begun, let := make(chan struct{}), make(chan struct{})
	fault := vfs.NewFault(m, nil)
	w := create(t, fault, segment.Options{Prewrite: -1})
	appendFrames(t, w, 0, 1)
	fault.SetHook(func(op vfs.Op, _ string) error {
		if op == vfs.OpSync {
			close(begun)
			<-let
		}
		return nil
	})
	done := make(chan error)
	go func() { done <- w.Sync() }()
	<-begun
	covered := w.Flushed()
	appendFrames(t, w, 1, 2)
	must(t, w.Flush())
	fault.SetHook(nil)
	close(let)
	must(t, <-done)
	if w.Synced() != covered || w.Flushed() != w.Size() {
		t.Errorf("synced %d, want %d; flushed %d of %d", w.Synced(), covered, w.Flushed(), w.Size())
	}
	must(t, w.Close())
	wantFrames(t, m.PowerLoss(nil), segment.ScanOptions{}, 2)
}

// What is abandoned is as it was flushed.
func TestAbandon(t *testing.T) {
	m := newMem(t)
	w := create(t, m, small)
	appendFrames(t, w, 0, 2)
	must(t, w.Flush())
	appendFrames(t, w, 2, 5)
	must(t, w.Abandon())
	wantErr(t, "sync", w.Sync(), fs.ErrClosed)
	wantFrames(t, m, segment.ScanOptions{}, 2)
}
