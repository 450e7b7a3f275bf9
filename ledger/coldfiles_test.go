package ledger

import (
	"context"
	"errors"
	"slices"
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

// An identity that was cold and is seen again may have two entries in the table:
// one that expired when it became cold, and is yet to be swept. The other counts.
func TestRenewedColdIdentityIsKept(t *testing.T) {
	const n = 20_000
	var clock atomic.Int64
	clock.Store(goldenClock().UnixNano())
	l := open(t, "d", Options{
		Window: hapax.Window{Time: 128 * time.Hour, Kind: hapax.Renewed}, FS: vfs.NewMem(), MaxMemory: 8 << 20,
		Clock: func() time.Time { return time.Unix(0, clock.Load()) },
	})
	admit(t, l, batch(l, 0, n))
	clock.Add(int64(time.Hour))
	b := new(Batch)
	for _, e := range batch(l, 0, n).Entries {
		b.Entries = append(b.Entries, e, e) // the second before anything is swept
	}
	l.mu.Lock()
	l.endCurrent()
	for l.wantChill(); l.cold.wanted; {
		l.cold.done.Wait()
	}
	l.mu.Unlock()
	for range 3 { // the last is well beyond the window of the first
		clock.Add(int64(60 * time.Hour))
		if got := admit(t, l, b); got[hapax.Duplicate] != 2*n {
			t.Fatal(got)
		}
	}
	if s := l.Stats(); s.Live != n || s.LiveCold != 0 {
		t.Errorf("%d live, %d of them cold", s.Live, s.LiveCold)
	}
}

// What the log says of an identity from before it came again and became cold does
// not count beside its cold file: not of a generation that it left while hot, and
// that is live still.
func TestRenewedIdentityCountsOnceAfterCrash(t *testing.T) {
	disk := vfs.NewMem()
	var clock atomic.Int64
	clock.Store(goldenClock().UnixNano())
	o := Options{
		Window: hapax.Window{Time: 128 * time.Hour, Kind: hapax.Renewed}, FS: disk, MaxMemory: 8 << 20,
		Clock: func() time.Time { return time.Unix(0, clock.Load()) },
	}
	l := open(t, "d", o)
	b := batch(l, 0, 1)
	for range 3 {
		admit(t, l, b)
		clock.Add(int64(time.Hour))
	}
	l.Chill()
	if s := l.Stats(); s.Live != 1 || s.LiveCold != 1 {
		t.Fatalf("%d live, %d of them cold", s.Live, s.LiveCold)
	}
	o.FS = disk.KillCopy()
	l = open(t, "d", o)
	if s := l.Stats(); s.Live != 1 || s.LiveCold != 1 {
		t.Errorf("%d live after a crash, %d of them cold", s.Live, s.LiveCold)
	}
	admit(t, l, b)
	if s := l.Stats(); s.Live != 1 || s.LiveCold != 0 {
		t.Errorf("%d live when it came again, %d of them cold", s.Live, s.LiveCold)
	}
}

// A copy at a position that is read again is a sight of the identity, cold or not.
func TestCopyReadAgainRenewsColdIdentity(t *testing.T) {
	var clock atomic.Int64
	clock.Store(goldenClock().UnixNano())
	l := open(t, "d", Options{
		Window: hapax.Window{Time: 128 * time.Hour, Kind: hapax.Renewed}, FS: vfs.NewMem(), MaxMemory: 8 << 20,
		Clock: func() time.Time { return time.Unix(0, clock.Load()) },
	})
	b := &Batch{Source: "s", Entries: make([]Entry, 2)} // of one identity
	b.Entries[1].Offset = 1
	admit(t, l, b)
	clock.Add(int64(time.Hour))
	l.Chill()
	if s := l.Stats(); s.LiveCold != 1 {
		t.Fatalf("%d identities are cold", s.LiveCold)
	}
	clock.Add(int64(100 * time.Hour))
	if got := admit(t, l, b); got[hapax.Redelivered] != 1 || got[hapax.Duplicate] != 1 {
		t.Fatal(got)
	}
	clock.Add(int64(100 * time.Hour))
	if got := admit(t, l, &Batch{Entries: make([]Entry, 1)}); got[hapax.Duplicate] != 1 {
		t.Error(got)
	}
}

// A ledger that is read changes no file, not even one that has expired.
func TestReadOnlyLeavesFiles(t *testing.T) {
	disk := vfs.NewMem()
	l, next := hours(t, "d", Options{FS: disk, MaxMemory: 4 << 20})
	admit(t, l, batch(l, 0, 100))
	next()
	admit(t, l, batch(l, 100, 200))
	l.Chill()
	if s := l.Stats(); s.LiveCold == 0 {
		t.Fatal("nothing is cold")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := disk.List("d")
	if err != nil {
		t.Fatal(err)
	}
	later := l.o.Clock().Add(10_000 * time.Hour)
	o := l.o
	o.ReadOnly, o.Clock = true, func() time.Time { return later }
	r := open(t, "d", o)
	r.tend()
	ctx := context.Background()
	if err := r.Admit(ctx, batch(r, 0, 1)); !errors.Is(err, errReadOnly) {
		t.Errorf("admit: %v", err)
	}
	if _, err := r.Forget(ctx, hapax.Fingerprint{}); !errors.Is(err, errReadOnly) {
		t.Errorf("forget: %v", err)
	}
	if _, err := r.Claim(ctx, hapax.Request{Identity: hapax.Identity("a"), Lease: time.Minute}); !errors.Is(err, errReadOnly) {
		t.Errorf("claim: %v", err)
	}
	if err := r.Sync(ctx); err != nil {
		t.Errorf("sync: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if after, err := disk.List("d"); err != nil || !slices.Equal(before, after) {
		t.Errorf("files were %v and are %v, %v", before, after, err)
	}
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
