package ledger

import (
	"context"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// A tumbling window that is full goes on until an identity comes that it does not
// know. Until then its identities are duplicates: to Claim, which would otherwise
// call fresh what nobody holds, and after a crash.
func TestFullTumblingWindow(t *testing.T) {
	ctx := context.Background()
	disk := vfs.NewMem()
	o := Options{Window: hapax.Window{Count: 2, Kind: hapax.Tumbling}, FS: disk, Clock: goldenClock}
	l := open(t, "d", o)
	order := hapax.Request{Identity: hapax.Identity("order"), Lease: time.Minute}
	claim := func(want hapax.Verdict) hapax.Claim {
		t.Helper()
		c, err := l.Claim(ctx, order)
		if err != nil || c.Verdict != want || (c.Token != 0) != (want == hapax.Fresh) {
			t.Fatalf("%v with token %d, want %v: %v", c.Verdict, c.Token, want, err)
		}
		return c
	}
	other := batch(l, 0, 1)
	admit(t, l, other)
	if err := l.Commit(ctx, claim(hapax.Fresh), nil); err != nil {
		t.Fatal(err)
	}
	if live := l.Stats().Live; live != 2 {
		t.Fatalf("%d identities are live in a window of two", live)
	}
	claim(hapax.Duplicate)
	if ok, err := l.Forget(ctx, other.Entries[0].Fingerprint); !ok || err != nil {
		t.Fatal("the first identity was not remembered any more:", err)
	}
	o.FS = disk.KillCopy()
	l = open(t, "d", o)
	claim(hapax.Duplicate)
	if got := admit(t, l, batch(l, 0, 2)); got[hapax.Fresh] != 2 {
		t.Errorf("%v, want two that are fresh", got)
	}
	claim(hapax.Fresh) // the second of them began another window
}

// Opening ends no full tumbling window: nothing in the log would say so, and the
// next Open might find it with room, and what it held remembered again.
func TestFullTumblingWindowOutlivesOpens(t *testing.T) {
	disk := vfs.NewMem()
	o := Options{Window: hapax.Window{Count: 2, Kind: hapax.Tumbling}, FS: disk}
	l := open(t, "d", o)
	b := batch(l, 0, 2)
	admit(t, l, b)
	for range 2 {
		disk = disk.KillCopy()
		o.FS = disk
		l = open(t, "d", o)
		if s := l.Stats(); s.Live != 2 {
			t.Fatalf("%d live", s.Live)
		}
		if got := admit(t, l, b); got[hapax.Duplicate] != 2 {
			t.Fatal(got)
		}
	}
	admit(t, l, batch(l, 2, 3))
	if s := l.Stats(); s.Live != 1 {
		t.Errorf("%d live in the next window", s.Live)
	}
}
