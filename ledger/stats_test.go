package ledger

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// handClock is a clock that is moved by hand.
type handClock struct{ ns atomic.Int64 }

func newHandClock() *handClock {
	c := &handClock{}
	c.ns.Store(1_800_000_000 * int64(time.Second))
	return c
}

func (c *handClock) now() time.Time { return time.Unix(0, c.ns.Load()) }

func (c *handClock) pass(d time.Duration) { c.ns.Add(int64(d)) }

// Copies have the age that they had when they came, however long nothing comes then.
func TestAgesAfterAPause(t *testing.T) {
	clock := newHandClock()
	l := open(t, "d", Options{FS: vfs.NewMem(), Window: hapax.Window{Time: time.Hour}, Clock: clock.now})
	admit(t, l, batch(l, 0, 10))
	admit(t, l, batch(l, 0, 10))
	clock.pass(40 * time.Minute)
	admit(t, l, batch(l, 0, 1))
	young, old := int64(0), int64(0)
	for i, n := range l.Stats().Ages {
		if i <= AgeBucket(time.Minute) {
			young += n
		} else {
			old += n
		}
	}
	if young != 10 || old != 1 {
		t.Errorf("%d young ones and %d old ones: %v", young, old, l.Stats().Ages)
	}
}

// Since is never before the first sight of what is gone, nor, by more than a
// generation, after that of what is remembered.
func TestSince(t *testing.T) {
	for _, test := range []struct {
		name   string
		window hapax.Window
		live   int64
		behind time.Duration // now, at most
	}{
		{"time", hapax.Window{Time: time.Hour}, 60, time.Hour},
		{"count, in generations", hapax.Window{Count: 100, Time: 24 * time.Hour}, 100, 100 * time.Minute},
		{"exact count", hapax.Window{Count: 100}, 100, 100 * time.Minute},
		{"no end", hapax.Window{Unbounded: true}, 300, 300 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			clock := newHandClock()
			began := clock.now()
			l := open(t, "d", Options{FS: vfs.NewMem(), Window: test.window, Clock: clock.now})
			if s := l.Stats(); !s.Since.IsZero() {
				t.Errorf("nothing came, and since %v", s.Since)
			}
			for i := range 300 {
				admit(t, l, batch(l, i, i+1))
				s := l.Stats()
				for j := i; j >= 0; j-- {
					came := began.Add(time.Duration(j) * time.Minute)
					_, _, known, err := l.find(l.Hasher("").Fingerprint(fmt.Append(nil, j)))
					if err != nil {
						t.Fatal(err)
					}
					if known {
						continue
					}
					if !came.Before(s.Since) {
						t.Fatalf("%d came %v, is gone, and since %v", j, came, s.Since)
					}
					break
				}
				if i == 299 && (s.Live < test.live || clock.now().Sub(s.Since) < test.behind*8/10) {
					t.Errorf("%d live, since %v", s.Live, clock.now().Sub(s.Since))
				}
				clock.pass(time.Minute)
			}
		})
	}
}

// A full count reaches back to when what it holds came: not to when it was last asked
// for that, and not to now, though all of it came at once.
func TestSinceAfterABurst(t *testing.T) {
	clock := newHandClock()
	l := open(t, "d", Options{FS: vfs.NewMem(), Window: hapax.Window{Count: 1000}, Clock: clock.now})
	for i := range 4 {
		clock.pass(time.Hour)
		admit(t, l, batch(l, 1000*i, 1000*i+1000))
	}
	came := clock.now()
	clock.pass(time.Hour)
	admit(t, l, batch(l, 4000, 4500))
	clock.pass(time.Hour)
	if since := l.Stats().Since.Sub(came); since <= 0 || since > time.Millisecond {
		t.Errorf("%v behind the first that is there", since)
	}
}
