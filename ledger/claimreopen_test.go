package ledger

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// Claims that the log holds before any identity keep their places in the table
// when it is read again: each is in flight still, and none takes another's.
func TestClaimsOutliveAKillAlone(t *testing.T) {
	const n = 800
	ctx := context.Background()
	disk := vfs.NewMem()
	o := Options{Window: hapax.Window{Time: time.Hour}, FS: disk, Clock: goldenClock}
	l := open(t, "d", o)
	claims := func(want hapax.Verdict) {
		t.Helper()
		for i := range n {
			c, err := l.Claim(ctx, hapax.Request{Identity: fmt.Append(nil, i), Lease: time.Minute})
			if err != nil || c.Verdict != want {
				t.Fatalf("claim %d: %v, want %v: %v", i, c.Verdict, want, err)
			}
		}
	}
	claims(hapax.Fresh)
	o.FS = disk.KillCopy()
	l = open(t, "d", o)
	if got := admit(t, l, batch(l, 0, n)); got[hapax.InFlight] != n {
		t.Errorf("%v, want all %d in flight", got, n)
	}
	claims(hapax.InFlight)
}
