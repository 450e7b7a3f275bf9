package wal

import (
	"encoding/binary"
	"errors"
	"math/rand"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/vfs"
)

const testKind = 7

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// begun is a roller with its first file, on a disk in memory.
func begun(t *testing.T, fsys vfs.FS) *Roller {
	t.Helper()
	r := NewRoller(RollerOptions{FS: fsys, Dir: "d", Kind: testKind, Zeros: true})
	must(t, fsys.MkdirAll("d"))
	w, err := r.Create(1)
	must(t, err)
	r.GoOn(w)
	return r
}

// Callers who wait, while the log goes on in other files: what Sync returned for is
// there after power loss, in its order over the files.
func TestSyncOverFiles(t *testing.T) {
	mem := vfs.NewMem()
	r := begun(t, mem)
	stop := make(chan struct{})
	var working, calling sync.WaitGroup
	working.Go(func() { r.Work(stop, func(err error) { t.Error(err) }) })

	var mu sync.Mutex // the owner's
	w, number, appended := r.w, uint64(1), uint64(0)
	var acked atomic.Uint64
	for range 4 {
		calling.Go(func() {
			for range 200 {
				mu.Lock()
				appended++
				mine := appended
				_, err := w.Append(1, binary.AppendUvarint(nil, mine))
				if made, _ := r.Prepare(number+1, 4096); err == nil && made && w.Size() > 2000 {
					last := w
					_, err = last.Ending()
					if err == nil {
						w, err = r.Take(number + 1)
					}
					if err == nil {
						number++
						r.GoOn(w)
						end := r.End()
						r.Later(func() error { return r.Retire(last, end, nil) })
					}
				}
				end := r.End()
				mu.Unlock()
				if err = errors.Join(err, r.Sync(end)); err != nil {
					t.Error(err)
					return
				}
				for was := acked.Load(); was < mine && !acked.CompareAndSwap(was, mine); was = acked.Load() {
				}
				if mine%50 == 0 {
					least := acked.Load()
					wantCounted(t, mem.PowerLoss(nil), least)
					wantCounted(t, mem.PowerLoss(rand.New(rand.NewSource(int64(mine)))), 0)
				}
			}
		})
	}
	calling.Wait()
	close(stop)
	working.Wait()
	must(t, r.FinishRolls(number+1))
	if number < 2 {
		t.Errorf("%d files", number)
	}
	wantCounted(t, mem.PowerLoss(nil), appended)
}

// wantCounted demands that the files hold the numbers from one on, at least so many.
func wantCounted(t *testing.T, m *vfs.Mem, least uint64) {
	t.Helper()
	files, err := List(m, "d")
	if err != nil {
		t.Error(err)
	}
	n := uint64(0)
	for _, f := range files {
		_, err := segment.Scan(m, f.Path, segment.ScanOptions{Kind: testKind, Sequence: f.Number}, func(f segment.Frame) error {
			if got, _ := binary.Uvarint(f.Payload); got != n+1 {
				t.Errorf("%d follows %d", got, n)
			}
			n++
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if n < least {
		t.Errorf("%d frames are left, %d were acknowledged", n, least)
	}
}

// A failed sync fails those who wait for it, and all after.
func TestFailedSync(t *testing.T) {
	broken := errors.New("broken")
	fault := vfs.NewFault(vfs.NewMem(), nil)
	r := begun(t, fault)
	_, err := r.w.Append(1, []byte("a"))
	must(t, err)
	good := r.End()
	must(t, r.Sync(good))
	fault.SetHook(vfs.FailNth(0, broken, vfs.OpSync))
	_, err = r.w.Append(1, []byte("b"))
	must(t, err)
	for range 2 { // the second would find the disk in order
		if err := r.Sync(r.End()); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	}
	must(t, r.Sync(good))
}
