package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/internal/wal"
)

// rolled begins a new file of the log, or only if that lets one go, and waits until
// the background is done with it.
func rolled(t *testing.T, l *Ledger, begin func(*journal) error) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := begin(l.journal); err != nil {
		t.Fatal(err)
	}
	rest(l)
}

// rest waits until the log's background has nothing to do.
func rest(l *Ledger) {
	done := make(chan struct{})
	l.journal.Later(func() error { close(done); return nil })
	<-done
}

// refused demands that Open and Verify find the same damage.
func refused(t *testing.T, disk *vfs.Mem, o Options, want string) {
	t.Helper()
	_, told := Verify(disk, "d")
	o.FS = disk
	l, err := Open("d", o)
	if err == nil {
		_ = l.Close()
	}
	for _, err := range []error{told, err} {
		if !errors.Is(err, hapax.ErrCorrupt) || !strings.Contains(filepath.ToSlash(err.Error()), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A file of the log that is gone is told after a crash too.
func TestMissingFile(t *testing.T) {
	disk := vfs.NewMem()
	o := Options{Window: hapax.Window{Time: time.Hour}, FS: disk}
	l := open(t, "d", o)
	const files = 4
	for i := range files {
		admit(t, l, batch(l, 100*i, 100*i+100))
		if i < files-1 {
			rolled(t, l, (*journal).rollNow)
		}
	}
	for number := uint64(1); number < files; number++ {
		crashed := disk.KillCopy()
		path := wal.Path("d", number)
		if err := crashed.Remove(path); err != nil {
			t.Fatal(err)
		}
		refused(t, crashed, o, filepath.ToSlash(path)+" is gone")
	}
}

// Whatever lets files of the log go, time, count or an eviction: after a crash at
// any moment none of them is missed.
func TestFilesGoByTheirSnapshot(t *testing.T) {
	t.Parallel()
	for _, w := range []hapax.Window{{Time: time.Minute}, {Count: 100}, {Unbounded: true}} {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			disk := vfs.NewMem()
			fault := vfs.NewFault(disk, nil)
			var elapsed atomic.Int64
			o := Options{
				Window: w, MaxMemory: minMemory, FS: fault,
				Clock: func() time.Time { return goldenClock().Add(time.Duration(elapsed.Load())) },
			}
			l := open(t, "d", o)
			l.gens.LimitGeneration(20)
			rng := rand.New(rand.NewSource(1))
			var one sync.Mutex // the ledger's background changes files too
			fault.SetHook(func(op vfs.Op, name string) error {
				if !op.Changes() || op == vfs.OpSync {
					return nil
				}
				one.Lock()
				defer one.Unlock()
				crashed := o
				crashed.FS = disk.KillCopy()
				if rng.Intn(2) == 0 {
					crashed.FS = disk.PowerLoss(rng)
				}
				if err := reopens(crashed); err != nil {
					return fmt.Errorf("crash before %v %s: %w", op, name, err)
				}
				return nil
			})
			gone := 0
			for i := range 40 {
				admit(t, l, batch(l, 10*i, 10*i+20))
				elapsed.Add(int64(10 * time.Second))
				if i%3 == 1 {
					rolled(t, l, (*journal).rollNow)
				}
				gone += letGo(t, l)
			}
			fault.SetHook(nil)
			if gone == 0 {
				t.Error("no file was let go")
			}
		})
	}
}

// reopens tells whether Verify and Open find a ledger in order.
func reopens(o Options) error {
	if _, err := Verify(o.FS, "d"); err != nil {
		return err
	}
	l, err := Open("d", o)
	if err != nil {
		return err
	}
	return l.Close()
}

// letGo deletes what nothing needs, as a ledger at its disk budget does, and says
// how many files went.
func letGo(t *testing.T, l *Ledger) int {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.o.Window.Unbounded && len(l.gens.List()) > 6 {
		if err := l.evict(); err != nil {
			t.Fatal(err)
		}
	}
	before := len(l.journal.files)
	newest := l.journal.newestNumber()
	if err := l.journal.drop(); err != nil {
		t.Fatal(err)
	}
	return before + int(l.journal.newestNumber()-newest) - len(l.journal.files)
}

// What a log holds beyond the limits it is opened with is refused by the name of
// the limit, and opens when that is raised again.
func TestOpenBeyondLimits(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		lower func(o *Options)
		want  string
	}{
		"sources":   {func(o *Options) { o.MaxSources = 1 }, "MaxSources of 1; raise it"},
		"positions": {func(o *Options) { o.MaxUnconfirmed = 99 }, `source "a" that were not confirmed than MaxUnconfirmed of 99; raise it`},
		"claims":    {func(o *Options) { o.MaxClaims = 2 }, "MaxClaims of 2; raise it"},
	} {
		for _, snapshot := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, snapshot %t", name, snapshot), func(t *testing.T) {
				disk := vfs.NewMem()
				o := Options{Window: hapax.Window{Time: time.Hour}, FS: disk, Clock: goldenClock}
				l := open(t, "d", o)
				b := batch(l, 0, 100)
				for i := range b.Entries {
					b.Entries[i].Offset = int64(i)
				}
				b.Source = "a"
				admit(t, l, b)
				if err := l.Confirm(ctx, Checkpoint{Source: "b", Offset: 1}); err != nil {
					t.Fatal(err)
				}
				for _, id := range []string{"x", "y", "z"} {
					goldenClaim(t, l, id)
				}
				if snapshot {
					rolled(t, l, (*journal).rollNow)
					if err := l.Admit(ctx, &Batch{Entries: batch(l, 100, 101).Entries}); err != nil {
						t.Fatal(err)
					}
				}
				o.FS = disk.KillCopy()
				low := o
				c.lower(&low)
				if _, err := Open("d", low); !errors.Is(err, hapax.ErrFull) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				if got := admit(t, open(t, "d", o), b); got[hapax.Redelivered] != 100 {
					t.Error(got)
				}
			})
		}
	}
}

// Frames that no ledger wrote are damage, whatever their checksums say.
func TestImpossibleFrames(t *testing.T) {
	at := func(now int64, runs ...run) []byte {
		f := admitFrame{digests: true, now: now, source: "s", runs: runs}
		return appendFuzzFrame(nil, frameAdmit, f.payload())
	}
	generation := func(start, end int64) []byte {
		b := binary.AppendVarint(binary.AppendUvarint(nil, 1), start)
		return appendFuzzFrame(nil, frameGeneration, binary.AppendVarint(b, end))
	}
	confirm := func(c Checkpoint) []byte {
		return appendFuzzFrame(nil, frameConfirm, appendCheckpoint(nil, c))
	}
	now := goldenClock().UnixNano()
	for name, c := range map[string]struct {
		frames []byte
		want   string
	}{
		"a time at the end of time":       {at(math.MaxInt64), "no time"},
		"a time that no window fits":      {at(math.MaxInt64 - int64(time.Hour)), "no time"},
		"a generation at the end of time": {generation(now, math.MaxInt64-1), "no end before"},
		"a generation that ends early":    {generation(now, now-1), "no end behind"},
		"a position below zero":           {at(now, run{first: -5, n: 1, fresh: []byte{1}}), "no position"},
		"positions beyond the last":       {at(now, run{first: math.MaxInt64, n: 8, fresh: []byte{1}}), "no position"},
		"a position without its key":      {at(now, run{first: 5, n: 2, fresh: []byte{2}}), "no prints"},
		"a first copy without its key":    {at(now, run{first: 5, n: 1, fresh: []byte{1}}), "no key of each position"},
		"a confirmed position below zero": {confirm(Checkpoint{Source: "s", Offset: -1}), "no position"},
		"a long name":                     {confirm(Checkpoint{Source: strings.Repeat("s", maxSource+1)}), "no name of a source"},
		"a long note":                     {confirm(Checkpoint{Source: "s", Note: make([]byte, maxNote+1)}), "no note"},
		"a source that goes backwards": {appendFuzzFrame(nil, frameSource, appendSource(nil, "s",
			&source{confirmed: 1, chunks: map[int64]*chunk{-1: {}}}, []int64{-1})), "no chunk"},
		"a file that needs itself":       {appendFuzzFrame(nil, frameSnapshot, appendSnapshot(logSnapshot{needed: []fileEnding{{number: 1}}})), "no file before it"},
		"a watermark at the end of time": {appendFuzzFrame(nil, frameSnapshot, appendSnapshot(logSnapshot{watermark: math.MaxInt64})), "no time"},
	} {
		t.Run(name, func(t *testing.T) {
			disk := emptyLedger(t)
			if err := writeFrames(disk, c.frames); err != nil {
				t.Fatal(err)
			}
			refused(t, disk, fuzzOptions(disk), c.want)
		})
	}
}

// What becomes of a directory in other hands, and how Open and Verify say so.
func TestDirectoryErrors(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	disk := vfs.NewMem()
	o := Options{Window: hapax.Window{Time: time.Hour}, FS: disk, Clock: goldenClock}
	l := open(t, "d", o)
	admit(t, l, batch(l, 0, 100))
	begun := disk.KillCopy() // one file, not closed
	rolled(t, l, (*journal).rollNow)
	admit(t, l, batch(l, 100, 200))
	killed := disk.KillCopy() // two files, not closed
	must(l.Close())
	first, second := wal.Path("d", 1), wal.Path("d", 2)
	for name, c := range map[string]struct {
		from *vfs.Mem
		do   func(disk *vfs.Mem)
		want string
	}{
		"no log, closed":         {disk, func(m *vfs.Mem) { must(m.Remove(first)); must(m.Remove(second)) }, "0000000000000001.log is gone"},
		"no log":                 {begun, func(m *vfs.Mem) { must(m.Remove(first)) }, "the log is gone: restore the files d/*.log"},
		"a log without snapshot": {begun, func(m *vfs.Mem) { writeAll(t, m, first, readAll(t, m, first)[:80]) }, "0000000000000001.log was cut off"},
		"an empty log":           {begun, func(m *vfs.Mem) { writeAll(t, m, first, nil) }, "no header of a segment"},
		"the newest gone":        {disk, func(m *vfs.Mem) { must(m.Remove(second)) }, "0000000000000002.log is gone"},
		"the newest cut": {disk, func(m *vfs.Mem) { b := readAll(t, m, second); writeAll(t, m, second, b[:len(b)-8]) },
			"when the ledger was closed"},
		"one more": {disk, func(m *vfs.Mem) { writeAll(t, m, wal.Path("d", 3), readAll(t, m, second)) },
			"0000000000000003.log was not there when the ledger was closed: move it away"},
		"two exchanged": {killed, func(m *vfs.Mem) {
			must(m.Rename(first, "d/x"))
			must(m.Rename(second, first))
			must(m.Rename("d/x", second))
		}, "0000000000000001.log was written as number 2: give it its name back"},
		"a name that is none":    {disk, func(m *vfs.Mem) { writeAll(t, m, "d/1.log", nil) }, "d/1.log is no name of a log file"},
		"a name in capitals":     {disk, func(m *vfs.Mem) { writeAll(t, m, "d/000000000000000A.log", nil) }, "call it 000000000000000a.log"},
		"no file ledger":         {disk, func(m *vfs.Mem) { must(m.Remove("d/ledger")) }, `no file "ledger" that says what it is`},
		"no secret":              {disk, func(m *vfs.Mem) { must(m.Remove("d/secret")) }, `"secret" is gone`},
		"a clean that is damage": {disk, func(m *vfs.Mem) { writeAll(t, m, "d/clean", nil) }, "d/clean does not match its checksum"},
	} {
		t.Run(name, func(t *testing.T) {
			left := c.from.KillCopy()
			c.do(left)
			refused(t, left, o, c.want)
		})
	}
}

// What the ledger takes it can read again: positions at both ends of what there
// is are refused, or outlive a reopening.
func TestPositionsAtTheEdge(t *testing.T) {
	ctx := context.Background()
	for _, offset := range []int64{math.MinInt64, -7, -1, 0, math.MaxInt64 - 1, math.MaxInt64} {
		o := Options{Window: hapax.Window{Time: time.Hour}, FS: vfs.NewMem()}
		l := open(t, "d", o)
		b := batch(l, 0, 2)
		b.Source, b.Entries[0].Offset, b.Entries[1].Offset = "s", offset, offset
		errs := []error{
			l.Confirm(ctx, Checkpoint{Source: "c", Offset: offset}),
			l.Admit(ctx, b),
			l.AdmitSequences(ctx, &SequenceBatch{Source: "q", Entries: []SequenceEntry{{Producer: producer(1), Number: 1, Offset: offset}}}),
		}
		for i, err := range errs {
			if good := offset >= 0 && offset < math.MaxInt64; good != (err == nil) {
				t.Errorf("offset %d, call %d: %v", offset, i, err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(o.FS, "d"); err != nil {
			t.Errorf("offset %d: %v", offset, err)
		}
		open(t, "d", o)
	}
}

// An open that could not delete what is not needed any more says nothing of a clean
// close: the next one deletes it.
func TestOpenFailsToDelete(t *testing.T) {
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem, nil)
	broken := errors.New("the disk is broken")
	o := Options{Window: hapax.Window{Count: 100}, FS: fault, Clock: goldenClock}
	l := open(t, "d", o)
	admit(t, l, batch(l, 0, 100))
	rolled(t, l, (*journal).rollNow)
	admit(t, l, batch(l, 100, 300))
	first := wal.Path("d", 1)
	var left *vfs.Mem // a crash before the first file is deleted
	fault.SetHook(func(op vfs.Op, name string) error {
		if op == vfs.OpRemove && name == first {
			left = mem.KillCopy()
		}
		return nil
	})
	rolled(t, l, (*journal).rollNow)
	if left == nil {
		t.Fatal("the first file was not deleted")
	}
	o.FS = vfs.NewFault(left, func(op vfs.Op, name string) error {
		if op == vfs.OpRemove && name == first {
			return broken
		}
		return nil
	})
	if _, err := Open("d", o); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	o.FS = left
	must(t, reopens(o))
	if _, err := left.Stat(first); err == nil {
		t.Error("the first file is still there")
	}
}

// The zeros behind the frames of a ledger that was killed are no identities.
func TestZerosTakeNoMemory(t *testing.T) {
	o := Options{Window: hapax.Window{Time: time.Hour}, FS: vfs.NewMem(), Clock: goldenClock}
	l := open(t, "d", o)
	admit(t, l, batch(l, 0, 100))
	o.FS = aheadOf(t, l, wal.MaxReserve)
	if got, want := open(t, "d", o).hot.table.Layout().Lines(), l.hot.table.Layout().Lines(); got != want {
		t.Errorf("the table has %d lines, and had %d", got, want)
	}
}

// A batch may go through more generations than may be live at a time.
func TestBatchOfManyGenerations(t *testing.T) {
	for _, w := range []hapax.Window{{Count: 100}, {Count: 100, Kind: hapax.Renewed}, {Bytes: 100}} {
		t.Run(w.String(), func(t *testing.T) {
			const n = 1000
			o := Options{Window: w, FS: vfs.NewMem(), Clock: goldenClock}
			l := open(t, "d", o)
			b := batch(l, 0, n)
			for i := range b.Entries {
				b.Entries[i].Size = 1
			}
			admit(t, l, b)
			want := l.Stats().Live
			must(t, l.Close())
			l = open(t, "d", o)
			if got := l.Stats().Live; got != want {
				t.Errorf("%d identities are live, want %d", got, want)
			}
			if b.Entries = b.Entries[n-100:]; admit(t, l, b)[hapax.Duplicate] != 100 {
				t.Error("the last hundred are not known")
			}
		})
	}
}
