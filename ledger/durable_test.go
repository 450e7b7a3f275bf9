package ledger

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/internal/wal"
)

// held runs f on a ledger whose disk syncs its log no more until the function
// given to f is called.
func held(t *testing.T, f func(l *Ledger, release func())) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Bool
		goOn := make(chan struct{})
		disk := vfs.NewFault(vfs.NewMem(), func(op vfs.Op, name string) error {
			if op == vfs.OpSync && strings.HasSuffix(name, wal.Suffix) && closed.Load() {
				<-goOn
			}
			return nil
		})
		l := open(t, "d", Options{Window: hapax.Window{Time: time.Hour}, FS: disk})
		closed.Store(true)
		f(l, func() {
			closed.Store(false)
			close(goOn)
		})
	})
}

// waits tells whether a call waits for the disk, and lets it go on.
func waits(t *testing.T, l *Ledger, first, second func() error, release func()) {
	t.Helper()
	go func() {
		if err := first(); err != nil {
			t.Error(err)
		}
	}()
	synctest.Wait()
	var over atomic.Bool
	go func() {
		if err := second(); err != nil {
			t.Error(err)
		}
		over.Store(true)
	}()
	synctest.Wait()
	if over.Load() {
		t.Error("it did not wait for what it depends on")
	}
	release()
	synctest.Wait()
	if !over.Load() {
		t.Error("it waits though all is durable")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// Tokens of a block may be given out when its reservation is durable: else power
// loss would have them given out again.
func TestTokenWaitsForItsReservation(t *testing.T) {
	held(t, func(l *Ledger, release func()) {
		claim := func(id string) func() error {
			return func() error {
				c, err := l.Claim(context.Background(), hapax.Request{Identity: hapax.Identity(id), Lease: time.Minute})
				if err == nil && c.Verdict != hapax.Fresh {
					t.Errorf("%s is %v", id, c.Verdict)
				}
				return err
			}
		}
		waits(t, l, claim("a"), claim("b"), release)
	})
}

// To confirm less than somebody has just confirmed says that it is durable.
func TestConfirmWaitsForTheNewer(t *testing.T) {
	held(t, func(l *Ledger, release func()) {
		confirm := func(offset int64) func() error {
			return func() error { return l.Confirm(context.Background(), Checkpoint{Source: "s", Offset: offset}) }
		}
		waits(t, l, confirm(100), confirm(50), release)
	})
}

func TestBatchBeyondOneFrame(t *testing.T) {
	l := open(t, "d", Options{Window: hapax.Window{Time: time.Hour}, FS: vfs.NewMem()})
	b := &Batch{Entries: make([]Entry, maxBatch+1)}
	if err := l.Admit(context.Background(), b); err == nil || !strings.Contains(err.Error(), "split it") {
		t.Errorf("%v", err)
	}
	b.Entries = b.Entries[:1]
	if got := admit(t, l, b); got[hapax.Fresh] != 1 {
		t.Errorf("the ledger admitted some of it, or admits nothing more: %v", got)
	}
}
