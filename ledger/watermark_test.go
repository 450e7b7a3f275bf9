package ledger

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// The watermark never goes back: what was late stays so when the files of the log
// with the frames that moved it are gone.
func TestWatermarkOutlivesItsFiles(t *testing.T) {
	const w = time.Hour
	begin := goldenClock().Add(-100 * w)
	event := func(l *Ledger, n int, at time.Duration) hapax.Verdict {
		b := batch(l, n, n+1)
		b.Entries[0].Time = begin.Add(at).UnixNano()
		if err := l.Admit(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		return b.Entries[0].Verdict
	}
	for name, move := range map[string]func(*Ledger){
		"by a copy": func(l *Ledger) { event(l, 0, w/2) },
		"by an event that left": func(l *Ledger) {
			event(l, 1, w/2)
			if _, err := l.Forget(context.Background(), batch(l, 1, 2).Entries[0].Fingerprint); err != nil {
				t.Fatal(err)
			}
		},
		"by a commit": func(l *Ledger) {
			if c := claim(t, l, 2); l.Commit(context.Background(), c, nil) != nil {
				t.Fatal("commit")
			}
		},
		"by a claim on a copy": func(l *Ledger) { claim(t, l, 0) },
	} {
		for _, rolls := range []int{0, 1, 3} {
			disk := vfs.NewMem()
			o := Options{Window: hapax.Window{Time: w, EventTime: true}, FS: disk, Clock: goldenClock}
			l := open(t, "d", o)
			if v := event(l, 0, 0); v != hapax.Fresh {
				t.Fatal(v)
			}
			rolled(t, l, (*journal).rollNow)
			move(l)
			for range rolls {
				rolled(t, l, (*journal).rollNow)
			}
			o.FS = disk.KillCopy()
			if v := event(l, 3, -3*w/4); v != hapax.Late {
				t.Fatalf("%s: %v, want Late", name, v)
			}
			if v := event(open(t, "d", o), 3, -3*w/4); v != hapax.Late {
				t.Errorf("%s, over %d rolls: %v, want Late as before", name, rolls, v)
			}
		}
	}
}

func claim(t *testing.T, l *Ledger, n int) hapax.Claim {
	t.Helper()
	c, err := l.Claim(context.Background(), hapax.Request{Identity: fmt.Append(nil, n), Lease: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Where times begin there is no room for a whole slice. What comes there is
// remembered, and the ledger opens again.
func TestFirstEventThereCanBe(t *testing.T) {
	for _, w := range []hapax.Window{
		{Time: time.Hour, EventTime: true},
		{Time: time.Hour, EventTime: true, Kind: hapax.Renewed},
		{Time: 90 * 365 * 24 * time.Hour, EventTime: true},
		{Time: 90 * 365 * 24 * time.Hour, EventTime: true, Kind: hapax.Tumbling},
	} {
		o := Options{Window: w, FS: vfs.NewMem(), Clock: goldenClock}
		for i, want := range []hapax.Verdict{hapax.Fresh, hapax.Duplicate} {
			l := open(t, "d", o)
			b := batch(l, 0, 1)
			b.Entries[0].Time = math.MinInt64
			if err := l.Admit(context.Background(), b); err != nil || b.Entries[0].Verdict != want {
				t.Errorf("%v, life %d: %v, %v, want %v", w, i, b.Entries[0].Verdict, err, want)
			}
			must(t, l.Close())
		}
	}
}
