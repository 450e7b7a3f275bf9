package ledger

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// What has left early stays away when the ledger is opened again, after a crash too,
// and is counted: what came in one file of the log with what is remembered, and what
// was seen again since.
func TestEvictedStaysAway(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	for _, w := range []hapax.Window{
		{Time: 128 * time.Hour, Kind: hapax.Renewed, Bytes: 1 << 50},
		{Time: 128 * time.Hour, EventTime: true, Kind: hapax.Renewed},
		{Time: 128 * time.Hour},
	} {
		for _, ends := range []string{"crash", "close", "close, with an image"} {
			t.Run(w.String()+", "+ends, func(t *testing.T) { testEvictedStaysAway(t, w, ends) })
		}
	}
}

func testEvictedStaysAway(t *testing.T, w hapax.Window, ends string) {
	const n = 7_000
	disk := vfs.NewMem()
	var clock atomic.Int64
	clock.Store(goldenClock().UnixNano())
	o := Options{
		FS: disk, MaxMemory: minMemory, Evict: true, Window: w, QuickStart: -1,
		Clock: func() time.Time { return time.Unix(0, clock.Load()) },
	}
	if ends == "close, with an image" {
		o.QuickStart = 1
	}
	l := open(t, "d", o)
	for i := range 100 {
		b := batch(l, i*n, i*n+n)
		for k := range b.Entries {
			b.Entries[k].Time = clock.Load()
		}
		admit(t, l, b)
		clock.Add(int64(time.Hour))
		if l.Stats().EvictedLive > 0 && i%8 == 7 {
			break
		}
	}
	again := batch(l, 0, n/2) // it has left, and comes again
	for k := range again.Entries {
		again.Entries[k].Time = clock.Load()
	}
	admit(t, l, again)
	for round := range 3 {
		if err := l.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		was := l.Stats()
		killed := disk.KillCopy()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if ends == "crash" {
			disk = killed
			o.FS = disk
		}
		l = open(t, "d", o)
		is := l.Stats()
		t.Logf("round %d: was %d live, %d early, since %v", round, was.Live, was.EvictedLive, was.Since)
		if is.Live != was.Live || is.EvictedLive != was.EvictedLive || !is.Since.Equal(was.Since) {
			t.Fatalf("round %d: %d live, %d early, since %v; were %d, %d, %v", round, is.Live, is.EvictedLive, is.Since, was.Live, was.EvictedLive, was.Since)
		}
	}
}
