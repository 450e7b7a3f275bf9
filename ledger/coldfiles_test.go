package ledger

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger/cold"
)

// hours is a ledger whose generations are an hour each, and the lever to the next.
func hours(t testing.TB, dir string, o Options) (l *Ledger, next func()) {
	t.Helper()
	var clock atomic.Int64
	clock.Store(goldenClock().UnixNano())
	o.Window = hapax.Window{Time: 128 * time.Hour}
	o.Clock = func() time.Time { return time.Unix(0, clock.Load()) }
	return open(t, dir, o), func() { clock.Add(int64(time.Hour)) }
}

// A cold file goes only when all that it replaces are gone for good: one of those
// that came back after a crash would count once more.
func TestColdFilesGoInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const batches = 4 * maxCold
		disk := vfs.NewMem()
		fault := vfs.NewFault(disk, nil)
		l, next := hours(t, "d", Options{FS: fault, MaxMemory: 4 << 20})
		goOn := make(chan struct{})
		release := sync.OnceFunc(func() { close(goOn) })
		defer release()
		var removals atomic.Int64
		fault.SetHook(func(op vfs.Op, name string) error {
			if op == vfs.OpRemove && strings.HasSuffix(name, ".cold") && removals.Add(1) == 1 {
				<-goOn // the first takes its time
			}
			return nil
		})
		for i := range batches {
			admit(t, l, batch(l, 100*i, 100*i+100))
			next()
			admit(t, l, batch(l, 0, 1))
			l.Chill()
		}
		synctest.Wait()
		if removals.Load() == 0 {
			t.Fatal("no files were merged")
		}
		left := disk.KillCopy()
		release()
		again := open(t, "d", Options{FS: left, MaxMemory: 4 << 20, Window: l.o.Window, Clock: l.o.Clock})
		if s := again.Stats(); s.Live != 100*batches || s.LiveCold == 0 {
			t.Errorf("%d live, %d of them cold, of %d", s.Live, s.LiveCold, 100*batches)
		}
		if got := admit(t, again, batch(again, 0, 100*batches)); got[hapax.Duplicate] != 100*batches {
			t.Errorf("%v, want nothing but duplicates: cold files %v", got, again.cold.numbers())
		}
	})
}

// Identities are forgotten while files are merged, and none comes back.
func TestForgetWhileMerging(t *testing.T) {
	const batches, n = 3 * maxCold, 200
	disk := vfs.NewMem()
	fault := vfs.NewFault(disk, nil)
	l, next := hours(t, "d", Options{FS: fault, MaxMemory: 4 << 20})
	var merges atomic.Int64
	fault.SetHook(func(op vfs.Op, name string) error {
		if op == vfs.OpCreate && strings.HasSuffix(name, cold.Suffix+cold.TempSuffix) {
			merges.Add(1)
		}
		return nil
	})
	gone := make(chan int, batches*n)
	var forgetting sync.WaitGroup
	forgetting.Go(func() {
		for i := range gone {
			if ok, err := l.Forget(context.Background(), batch(l, i, i+1).Entries[0].Fingerprint); !ok || err != nil {
				t.Errorf("forget %d: %v %v", i, ok, err)
			}
		}
	})
	for i := range batches {
		admit(t, l, batch(l, n*i, n*i+n))
		for k := n * i; k < n*i+n; k += 2 {
			gone <- k
		}
		next()
		admit(t, l, batch(l, 1, 2))
		l.Chill()
	}
	close(gone)
	forgetting.Wait()
	if merges.Load() <= batches {
		t.Fatal("no files were merged")
	}
	for _, fs := range []*vfs.Mem{disk, disk.KillCopy()} {
		at := l
		if fs != disk {
			at = open(t, "d", Options{FS: fs, MaxMemory: 4 << 20, Window: l.o.Window, Clock: l.o.Clock})
		}
		if live := at.Stats().Live; live != batches*n/2 {
			t.Errorf("%d live, want %d", live, batches*n/2)
		}
		listed := make(map[hapax.Fingerprint]bool)
		for s, err := range at.All() {
			if err != nil {
				t.Fatal(err)
			}
			listed[s.Fingerprint] = true
		}
		for k, e := range batch(l, 0, batches*n).Entries {
			if listed[e.Fingerprint] != (k%2 == 1) {
				t.Errorf("%d is listed: %v", k, listed[e.Fingerprint])
			}
		}
	}
}
