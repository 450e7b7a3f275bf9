package ledger

import (
	"errors"
	"fmt"
	"math/rand"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// gauge is a disk in memory that knows how much was in use at most.
type gauge struct {
	*vfs.Fault
	disk *vfs.Mem
	peak atomic.Int64
}

func newGauge(disk *vfs.Mem) *gauge {
	const capacity = 1 << 40
	disk.SetCapacity(capacity)
	g := &gauge{disk: disk}
	g.Fault = vfs.NewFault(disk, func(vfs.Op, string) error {
		free, err := disk.Free("d")
		for used := capacity - free; err == nil; {
			was := g.peak.Load()
			if used <= was || g.peak.CompareAndSwap(was, used) {
				break
			}
		}
		return nil
	})
	return g
}

// budgeted is a ledger with a bound of its disk, and a model of what it remembers.
type budgeted struct {
	*testing.T
	o    Options
	disk *gauge
	l    *Ledger
	now  time.Time
	seen map[int]time.Time // when each was seen first or, in a window that is renewed, last
	next int64             // position
}

func newBudgeted(t *testing.T, o Options) *budgeted {
	b := &budgeted{T: t, o: o, disk: newGauge(vfs.NewMem()), now: goldenClock(), seen: make(map[int]time.Time)}
	b.o.FS, b.o.Clock = b.disk, func() time.Time { return b.now }
	b.open()
	return b
}

func (b *budgeted) open() {
	b.Helper()
	b.l = open(b.T, "d", b.o)
}

// admit admits some identities and judges the verdicts, if they are not refused.
func (b *budgeted) admit(keys []int) error {
	b.Helper()
	batch := &Batch{Source: "0"}
	for _, k := range keys {
		batch.Entries = append(batch.Entries, Entry{Fingerprint: b.l.hasher.Fingerprint(hapax.Identity(fmt.Sprint(k))), Offset: b.next + int64(len(batch.Entries))})
	}
	var err error
	if b.o.Follows == nil {
		batch.Source = ""
		err = b.l.Admit(b.Context(), batch)
	} else {
		batch.Through = b.next + int64(len(keys)) - 1
		var step *Step
		if step, err = b.l.Begin(b.now, batch); err == nil {
			if err = step.Admit(); err == nil {
				err = step.End()
			}
		}
	}
	if errors.Is(err, hapax.ErrFull) {
		return err
	}
	if err != nil {
		b.Fatal(err)
	}
	b.next += int64(len(keys))
	for i, k := range keys {
		at, known := b.seen[k]
		age := b.now.Sub(at)
		switch v := batch.Entries[i].Verdict; {
		case known && age < b.o.Window.Time && v != hapax.Duplicate && !b.o.Evict:
			b.Fatalf("%v on %d, seen %v ago", v, k, age)
		case !known && v != hapax.Fresh:
			b.Fatalf("%v on %d, which is new", v, k)
		case v == hapax.Fresh || b.o.Window.Kind == hapax.Renewed:
			b.seen[k] = b.now
		}
	}
	return nil
}

// crash opens the ledger again as it is after the process was killed.
func (b *budgeted) crash() {
	b.Helper()
	if err := b.l.Sync(b.Context()); err != nil { // else copies may be fresh again
		b.Fatal(err)
	}
	left := b.disk.disk.KillCopy()
	if err := b.l.Close(); err != nil {
		b.Fatal(err)
	}
	peak := b.disk.peak.Load()
	b.disk = newGauge(left)
	b.disk.peak.Store(peak)
	b.o.FS = b.disk
	b.open()
}

// most is what the files may take by what MaxDisk says, with zeros written ahead and
// the small files.
func (b *budgeted) most() int64 {
	most := b.o.MaxDisk + b.o.MaxDisk/mergePart + 64<<10
	if b.o.Follows == nil {
		most += 3 * minRoll
	}
	return most
}

// Copies of the same identities write several times what MaxDisk allows. All that they
// make superfluous goes, so that the files stay within it, nothing is refused, and each
// identity is known as long as its window lasts, over crashes.
func TestCopiesStayWithinDisk(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	const ids, each = 60_000, 6_000
	for _, test := range []struct {
		name string
		o    Options
	}{
		{"renewed", Options{Window: hapax.Window{Time: 128 * time.Hour, Kind: hapax.Renewed}, Digests: true}},
		{"renewed, follows", Options{Window: hapax.Window{Time: 128 * time.Hour, Kind: hapax.Renewed}, Details: true, Follows: follow}},
		{"first, follows", Options{Window: hapax.Window{Time: 128 * time.Hour}, Details: true, Follows: follow}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := test.o
			o.MaxDisk, o.MaxMemory = minDisk, minMemory
			b, r := newBudgeted(t, o), rand.New(rand.NewSource(1))
			keys := make([]int, each)
			for i := range 120 {
				for k := range keys {
					if keys[k] = r.Intn(ids); i < ids/each {
						keys[k] = i*each + k
					}
				}
				if err := b.admit(keys); err != nil {
					t.Fatalf("batch %d: %v", i, err)
				}
				if b.now = b.now.Add(time.Hour); i%50 == 40 {
					b.crash()
				}
			}
			if peak := b.disk.peak.Load(); peak > b.most() {
				t.Errorf("%d bytes were in use, and %d are allowed", peak, b.o.MaxDisk)
			}
		})
	}
}

func follow() error { return nil }

// A window that is full has used what MaxDisk allows and no more, and has forgotten
// nothing; what is known is answered. What has left makes room.
func TestFullDiskStaysWithinDisk(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	for _, kind := range []hapax.WindowKind{hapax.First, hapax.Renewed} {
		for _, follows := range []bool{false, true} {
			t.Run(fmt.Sprint(kind, " follows ", follows), func(t *testing.T) {
				o := Options{Window: hapax.Window{Time: 128 * time.Hour, Kind: kind}, MaxDisk: minDisk, MaxMemory: 2 * minMemory}
				if follows {
					o.Follows, o.Details, o.Digests = follow, true, true
				}
				b := newBudgeted(t, o)
				const each = 10_000
				full := 0
				fill := func() {
					for ; ; full++ {
						keys := make([]int, each)
						for k := range keys {
							keys[k] = full*each + k
						}
						if err := b.admit(keys); err != nil {
							return
						}
						b.now = b.now.Add(time.Hour / 2)
					}
				}
				fill()
				had := full
				for i := range had {
					keys := make([]int, 0, each)
					for k := i * each; k < (i+1)*each; k += 10 {
						keys = append(keys, k)
					}
					if err := b.admit(keys); err != nil {
						t.Fatalf("copies: %v", err)
					}
				}
				b.crash()
				b.now = b.now.Add(125 * time.Hour)
				fill()
				t.Logf("%d at first, %d in all, peak %d", had*each, full*each, b.disk.peak.Load())
				if had*each < minDisk/80 || full == had {
					t.Errorf("full at %d identities, and at %d when half of them have left", had*each, full*each)
				}
				if peak := b.disk.peak.Load(); peak > b.most() {
					t.Errorf("%d bytes were in use, and %d are allowed", peak, b.o.MaxDisk)
				}
			})
		}
	}
}

// A window that is renewed and needs the order of arrival cannot move what is live to cold
// files. Its files stay within the budget all the same: copies are refused at last, nothing
// is forgotten, and a larger budget has it go on.
func TestRenewedCountRefusesCopies(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	const ids, each = 200_000, 10_000
	b := newBudgeted(t, Options{Window: hapax.Window{Count: 1 << 20, Kind: hapax.Renewed}, MaxDisk: minDisk, MaxMemory: 8 * minMemory})
	var err error
	stays := ids
	for i := 0; err == nil && i < 1000; i++ {
		var keys []int
		for k := range each {
			keys = append(keys, (i*each+k)%ids)
		}
		for range each / 200 { // what stays in each file of the log
			keys = append(keys, stays)
			stays++
		}
		if err = b.admit(keys); err != nil {
			stays -= each / 200
			err = b.admit(keys[:each])
		}
		b.now = b.now.Add(time.Second)
	}
	if !errors.Is(err, hapax.ErrFull) {
		t.Fatalf("copies: %v", err)
	}
	if peak := b.disk.peak.Load(); peak > b.most() {
		t.Errorf("%d bytes were in use, and %d are allowed", peak, b.o.MaxDisk)
	}
	b.o.MaxDisk *= 2
	b.crash()
	all := new(Batch)
	for k := range stays {
		all.Entries = append(all.Entries, Entry{Fingerprint: b.l.hasher.Fingerprint(hapax.Identity(fmt.Sprint(k)))})
	}
	if got := admit(t, b.l, all); got[hapax.Duplicate] != stays {
		t.Errorf("%v, of %d", got, stays)
	}
}
