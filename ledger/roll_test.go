package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/internal/wal"
)

// callers admit, each identities of its own, into a log of tiny files.
type callers struct {
	l     *Ledger
	acked [3]atomic.Int64 // identities of each caller
}

const callersApart = 1 << 20

func (c *callers) run(t *testing.T, batches int) {
	var wg sync.WaitGroup
	for i := range c.acked {
		wg.Go(func() {
			n := 20 + 80*(i%2)
			for range batches {
				from := i*callersApart + int(c.acked[i].Load())
				if err := c.l.Admit(context.Background(), batch(c.l, from, from+n)); err != nil {
					t.Error(err)
					return
				}
				c.acked[i].Add(int64(n))
			}
		})
	}
	wg.Wait()
}

// disk is what a crash may leave, and how many identities of each caller had been
// acknowledged by then.
type disk struct {
	left  *vfs.Mem
	acked [3]int64
	what  string
}

func (d *disk) check(t *testing.T, o Options) {
	t.Helper()
	o.FS = d.left
	if _, err := Verify(o.FS, "d"); err != nil {
		t.Fatalf("%s: %v", d.what, err)
	}
	l := open(t, "d", o)
	for i, n := range d.acked {
		b := batch(l, i*callersApart, i*callersApart+int(n))
		if got := admit(t, l, b); got[hapax.Duplicate] != int(n) {
			t.Fatalf("%s: %d of %d identities are known", d.what, got[hapax.Duplicate], n)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatalf("%s: %v", d.what, err)
	}
	o.ReadOnly = true
	open(t, "d", o)
}

// Files are begun, retired and deleted beside the callers: a crash before any write,
// sync, rename or removal forgets nothing acknowledged.
func TestCrashWhileRolling(t *testing.T) {
	t.Parallel()
	for _, durability := range []Durability{Synced, Written} {
		for _, window := range []hapax.Window{{Time: time.Hour}, {Count: 1000}} {
			t.Run(fmt.Sprint(durability, window), func(t *testing.T) {
				t.Parallel()
				mem := vfs.NewMem()
				fault := vfs.NewFault(mem, nil)
				o := Options{Window: window, FS: fault, Clock: goldenClock, Durability: durability}
				c := &callers{l: open(t, "d", o)}
				c.l.journal.least = 1 << 11
				end := crashes(c, mem, fault)
				c.run(t, 60)
				images := end()
				if got, has := int(c.l.journal.newestNumber()), len(c.l.journal.files); got < 5 || window.Count > 0 == (has == got) {
					t.Errorf("%d files were begun, %d are left", got, has)
				}
				for _, d := range images {
					if window.Count > 0 {
						d.acked = [3]int64{} // they may have left: it is whole, and opens
					}
					d.check(t, o)
				}
			})
		}
	}
}

// crashes takes a disk before some of the operations that change it, until end,
// which returns them.
func crashes(c *callers, mem *vfs.Mem, fault *vfs.Fault) (end func() []disk) {
	rng := rand.New(rand.NewSource(1))
	var images []disk
	stop := beforeOneIn(6, fault, rng, func(what string) {
		d := disk{what: "crash before " + what}
		for i := range c.acked {
			d.acked[i] = c.acked[i].Load()
		}
		d.left = mem.KillCopy()
		if c.l.o.Durability == Synced && rng.Intn(4) > 0 {
			d.left = mem.PowerLoss(rng)
		}
		images = append(images, d)
	})
	return func() []disk {
		stop()
		return images
	}
}

// beforeOneIn calls take before one in n of the operations that change the disk, by
// chance, one at a time, until end, behind which it takes no more.
func beforeOneIn(n int, fault *vfs.Fault, rng *rand.Rand, take func(what string)) (end func()) {
	var mu sync.Mutex
	fault.SetHook(func(op vfs.Op, name string) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Changes() && rng.Intn(n) == 0 {
			take(fmt.Sprintf("%v %s", op, filepath.Base(name)))
		}
		return nil
	})
	return func() {
		fault.SetHook(nil)
		mu.Lock() // one may be under way
		defer mu.Unlock()
	}
}

// Of a log that is only written, a power loss leaves what it may, which opens.
func TestPowerLossOfWritten(t *testing.T) {
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem, nil)
	o := Options{Window: hapax.Window{Time: time.Hour}, FS: fault, Clock: goldenClock, Durability: Written}
	c := &callers{l: open(t, "d", o)}
	c.l.journal.least = 1 << 11
	rng := rand.New(rand.NewSource(2))
	var images []disk
	end := beforeOneIn(2, fault, rng, func(what string) {
		images = append(images, disk{left: mem.PowerLoss(rng), what: "power lost before " + what})
	})
	c.run(t, 60)
	end()
	for _, d := range images {
		d.check(t, o)
	}
}

// The end of a file that is not the newest is known by the next one's snapshot: what
// is missing there, or damaged, is no unfinished write. Behind it may be zeros.
func TestEndOfOlderFile(t *testing.T) {
	mem := vfs.NewMem()
	o := Options{Window: hapax.Window{Time: time.Hour}, FS: mem, Clock: goldenClock}
	l := open(t, "d", o)
	admit(t, l, batch(l, 0, 100))
	admit(t, l, batch(l, 100, 200))
	first := wal.Path("d", 1)
	ends := frameEnds(t, mem.KillCopy(), first)
	made := aheadOf(t, l, minRoll)
	rolled(t, l, (*journal).rollNow)
	must(t, l.Close())
	whole := readAll(t, mem, first)
	if len(whole) != int(ends[len(ends)-1]) {
		t.Fatalf("the file has %d bytes, its frames end at %d", len(whole), ends[len(ends)-1])
	}
	flipped := append([]byte(nil), whole...)
	flipped[len(flipped)-20] ^= 1
	for name, c := range map[string]struct {
		content []byte
		want    string // of the error; none: it opens
	}{
		"cut at a frame":    {whole[:ends[len(ends)-2]], "it had others"},
		"cut in a frame":    {whole[:len(whole)-8], "was whole when the next was begun"},
		"a bit of the last": {flipped, "was whole when the next was begun"},
		"something behind":  {append(append([]byte(nil), whole...), 1), "was whole when the next was begun"},
		"zeros behind":      {append(append([]byte(nil), whole...), make([]byte, 100)...), ""},
	} {
		t.Run(name, func(t *testing.T) {
			left := mem.KillCopy()
			writeAll(t, left, first, c.content)
			if c.want != "" {
				refused(t, left, o, c.want)
				return
			}
			o.FS = left
			must(t, reopens(o))
			if size, err := left.Stat(first); err != nil || size != int64(len(whole)) {
				t.Errorf("%d bytes %v, want %d", size, err, len(whole))
			}
		})
	}
	t.Run("made ahead", func(t *testing.T) { // the next file says nothing of the first
		writeAll(t, made, first, whole[:len(whole)-8])
		o.FS = made
		l := open(t, "d", o)
		if got := admit(t, l, batch(l, 0, 200)); got[hapax.Duplicate] != 100 || l.journal.newestNumber() != 1 {
			t.Errorf("got %v in file %d", got, l.journal.newestNumber())
		}
	})
}

// aheadOf has the next file made, for so many bytes, and is the disk then.
func aheadOf(t *testing.T, l *Ledger, full int64) *vfs.Mem {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.journal.prepare(full); err != nil {
		t.Fatal(err)
	}
	rest(l)
	if ready, err := l.journal.prepare(full); !ready || err != nil {
		t.Fatal(ready, err)
	}
	return l.o.FS.(*vfs.Mem).KillCopy()
}

// frameEnds are where the frames of a file end.
func frameEnds(t *testing.T, fsys vfs.FS, path string) (ends []int64) {
	t.Helper()
	_, err := segment.Scan(fsys, path, segment.ScanOptions{}, func(f segment.Frame) error {
		ends = append(ends, f.Next())
		return nil
	})
	must(t, err)
	return ends
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever fails in the background stops the ledger, and nobody waits for ever.
func TestRollFails(t *testing.T) {
	broken := errors.New("the disk is broken")
	for _, fails := range []vfs.Op{vfs.OpCreate, vfs.OpSync, vfs.OpRename, vfs.OpSyncDir, vfs.OpTruncate} {
		t.Run(fails.String(), func(t *testing.T) {
			fault := vfs.NewFault(vfs.NewMem(), nil)
			l := open(t, "d", Options{Window: hapax.Window{Time: time.Hour}, FS: fault, Clock: goldenClock})
			l.journal.least = 1 << 11
			fault.SetHook(func(op vfs.Op, name string) error {
				if op == fails && (op != vfs.OpSync || strings.HasSuffix(name, segment.TempSuffix)) {
					return broken
				}
				return nil
			})
			var err error
			for i := 0; err == nil && i < 1000; i++ {
				err = l.Admit(context.Background(), batch(l, 20*i, 20*i+20))
				runtime.Gosched() // the background's turn
			}
			if !errors.Is(err, broken) {
				t.Errorf("got %v", err)
			}
			if err := l.Close(); errors.Is(err, hapax.ErrCorrupt) {
				t.Error(err)
			}
		})
	}
}

// Frames in a file prove that all of the one before it was durable, even where its
// snapshot is not complete.
func TestTornBeforeUnfinishedSnapshot(t *testing.T) {
	mem := vfs.NewMem()
	o := Options{Window: hapax.Window{Time: time.Hour}, FS: mem, Clock: goldenClock}
	l := open(t, "d", o)
	admit(t, l, batch(l, 0, 100))
	admit(t, l, batch(l, 100, 200))
	rolled(t, l, (*journal).rollNow)
	left := mem.KillCopy()
	first, second := wal.Path("d", 1), wal.Path("d", 2)
	writeAll(t, left, second, readAll(t, left, second)[:frameEnds(t, left, second)[0]])
	o.FS = left.KillCopy()
	must(t, reopens(o))
	whole := readAll(t, left, first)
	writeAll(t, left, first, whole[:len(whole)-8])
	refused(t, left, o, "was whole when the next was begun")
}

// A roll that fails within the snapshot leaves no file open.
func TestRollFailsInSnapshot(t *testing.T) {
	broken := errors.New("no snapshot")
	var closed atomic.Int64
	fault := vfs.NewFault(vfs.NewMem(), func(op vfs.Op, name string) error {
		if op == vfs.OpClose && name == wal.Path("d", 1) {
			closed.Add(1)
		}
		return nil
	})
	l := open(t, "d", Options{Window: hapax.Window{Time: time.Hour}, FS: fault, Clock: goldenClock})
	admit(t, l, batch(l, 0, 100))
	l.mu.Lock()
	l.journal.snapshot = func(*journal) error { return broken }
	if err := l.journal.rollNow(); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	} else {
		_ = l.fail(err)
	}
	l.mu.Unlock()
	_ = l.Close()
	if n := closed.Load(); n == 0 {
		t.Error("the first file is still open")
	}
}

// A disk without room for zeros ahead may have some for frames.
func TestNoRoomForZeros(t *testing.T) {
	var refused atomic.Int64
	mem := vfs.NewMem()
	o := Options{Window: hapax.Window{Time: time.Hour}, Clock: goldenClock}
	o.FS = vfs.NewFault(mem, func(op vfs.Op, name string) error {
		if op == vfs.OpWrite && name == wal.Path("d", 2) && refused.Add(1) == 1 {
			return vfs.Short(100, syscall.ENOSPC)
		}
		return nil
	})
	l := open(t, "d", o)
	admit(t, l, batch(l, 0, 100))
	l.mu.Lock()
	_, err := l.journal.prepare(minRoll)
	l.mu.Unlock()
	must(t, err)
	rolled(t, l, (*journal).rollNow)
	admit(t, l, batch(l, 100, 200))
	if refused.Load() < 2 {
		t.Error("no zeros were written ahead")
	}
	o.FS = mem.KillCopy()
	l = open(t, "d", o)
	if got := admit(t, l, batch(l, 0, 200)); got[hapax.Duplicate] != 200 {
		t.Errorf("after a crash: %v", got)
	}
}

// A file that could not be made ahead, and is not needed, does not make a close any
// less clean.
func TestCloseWithoutTheNextFile(t *testing.T) {
	mem := vfs.NewMem()
	o := Options{Window: hapax.Window{Time: time.Hour}, Clock: goldenClock}
	o.FS = vfs.NewFault(mem, func(op vfs.Op, name string) error {
		if op == vfs.OpCreate && strings.HasPrefix(name, wal.Path("d", 2)) {
			return errors.New("no more files")
		}
		return nil
	})
	l := open(t, "d", o)
	admit(t, l, batch(l, 0, 100))
	l.mu.Lock()
	_, err := l.journal.prepare(minRoll)
	rest(l)
	l.mu.Unlock()
	must(t, err)
	must(t, l.Close())
	report, err := Verify(mem, "d")
	if err != nil || !report.Clean {
		t.Errorf("clean %t, %v", report.Clean, err)
	}
}
