package ledger

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// Windows that no time bounds know the ages of duplicates too, to the time that the ids of
// a generation took to come: if they were made long before the first id came, and over a
// crash.
func TestAgesWithoutTime(t *testing.T) {
	for _, w := range []hapax.Window{{Count: 2_000_000}, {Bytes: 1 << 40}, {Count: 1000}, {Count: 2_000_000, Kind: hapax.Renewed}, {Count: 5000, Kind: hapax.Tumbling}} {
		for _, crashes := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, crashes %v", w, crashes), func(t *testing.T) {
				disk := vfs.NewMem()
				var clock atomic.Int64
				now := func() time.Time { return time.Unix(0, clock.Load()) }
				o := Options{FS: disk, Window: w, Clock: now, Follows: func() error { return nil }}
				l := open(t, "d", o)
				take := func(offset int) {
					b := batch(l, 0, 100)
					b.Source, b.Through = "0", int64(offset+100)
					for i := range b.Entries {
						b.Entries[i].Offset, b.Entries[i].Size = int64(offset+i), 1
					}
					step, err := l.Begin(now(), b)
					if err != nil {
						t.Fatal(err)
					}
					if err := step.Admit(); err != nil {
						t.Fatal(err)
					}
					if err := step.End(); err != nil {
						t.Fatal(err)
					}
				}
				clock.Store(goldenClock().UnixNano())
				take(0)
				if crashes {
					if err := l.Sync(t.Context()); err != nil {
						t.Fatal(err)
					}
					o.FS = disk.KillCopy()
					l = open(t, "d", o)
				}
				clock.Add(int64(2 * time.Hour))
				take(1000)
				if got := l.Stats().Ages; got[AgeBucket(2*time.Hour)] != 100 {
					t.Errorf("ages %v", got)
				}
			})
		}
	}
}

// So do they where they take identities by Admit alone: copies are counted when they come,
// or within a second, and not when somebody asks.
func TestAgesOfAdmitWithoutTime(t *testing.T) {
	for _, w := range []hapax.Window{{Count: 2_000_000}, {Bytes: 1 << 40}, {Count: 1000}, {Unbounded: true}} {
		for _, dir := range []string{"", "d"} {
			t.Run(fmt.Sprintf("%v, in %q", w, dir), func(t *testing.T) {
				var clock atomic.Int64
				clock.Store(goldenClock().UnixNano())
				l := open(t, dir, Options{FS: vfs.NewMem(), Window: w, Clock: func() time.Time { return time.Unix(0, clock.Load()) }})
				admit(t, l, batch(l, 0, 100))
				clock.Add(int64(2 * time.Hour))
				admit(t, l, batch(l, 0, 100))
				if l.concurrent {
					l.mu.Lock()
					countRecent(l) // as maintain does
					l.mu.Unlock()
				}
				clock.Add(int64(48 * time.Hour))
				if got := l.Stats().Ages; got[AgeBucket(2*time.Hour)] != 100 {
					t.Errorf("ages %v", got)
				}
			})
		}
	}
}
