package ledger

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// What has left early is counted also when the process is killed just when a cold file has
// been deleted: the log tells of it before. So what is live and what has left early are together
// some batch and all before it, whatever of the log was not written yet.
func TestEvictedIsCountedOverKills(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	const each, most = 7_000, 4 // identities a batch, kills
	disk := vfs.NewMem()
	var (
		mu     sync.Mutex
		killed []*vfs.Mem
		gone   bool // a cold file, just now
		early  bool // some have left early
	)
	o := Options{
		FS: vfs.NewFault(disk, func(op vfs.Op, name string) error {
			mu.Lock()
			defer mu.Unlock()
			if early && gone && op == vfs.OpSyncDir && len(killed) < most {
				killed = append(killed, disk.KillCopy())
			}
			gone = op == vfs.OpRemove && strings.HasSuffix(name, ".cold") || gone && op != vfs.OpSyncDir
			return nil
		}),
		MaxMemory: minMemory, MaxDisk: minDisk, Evict: true, Details: true, Follows: follow, QuickStart: -1,
		Window: hapax.Window{Time: 128 * time.Hour},
	}
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(killed) == most
	}
	b := &budgeted{T: t, o: o, now: goldenClock(), seen: make(map[int]time.Time)}
	var clock atomic.Int64
	clock.Store(b.now.UnixNano())
	b.o.Clock = func() time.Time { return time.Unix(0, clock.Load()) }
	b.open()
	sums := map[int64]bool{0: true} // of batches; no two of them are equal
	for i, sum := 0, 0; i < 300 && !enough(); i++ {
		keys := make([]int, each+i)
		for k := range keys {
			keys[k] = sum + k
		}
		if err := b.admit(keys); err != nil {
			t.Fatal(err)
		}
		sum += len(keys)
		sums[int64(sum)] = true
		b.now = b.now.Add(time.Hour / 4)
		clock.Store(b.now.UnixNano())
		some := b.l.Stats().EvictedLive > 0
		mu.Lock()
		early = some
		mu.Unlock()
	}
	if err := b.l.Close(); err != nil {
		t.Fatal(err)
	}
	if len(killed) == 0 {
		t.Fatal("no cold file was deleted")
	}
	for i, disk := range killed {
		b.o.FS = disk
		b.open()
		if s := b.l.Stats(); !sums[s.Live+s.EvictedLive] {
			t.Errorf("kill %d: %d live and %d left early are %d, which is no sum of batches", i, s.Live, s.EvictedLive, s.Live+s.EvictedLive)
		}
		if err := b.l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
