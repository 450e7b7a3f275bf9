package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/textfile"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/internal/wal"
	"github.com/hapaxmq/hapax/window"
)

const imaged = 3000 // identities

// imagedLedger is a ledger that was closed with an image of its table.
func imagedLedger(t *testing.T, o Options) *vfs.Mem {
	t.Helper()
	disk := vfs.NewMem()
	o.FS = disk
	l := open(t, "d", o)
	admit(t, l, batch(l, 0, imaged))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Stat(imagePath()); err != nil {
		t.Fatalf("closed without an image: %v", err)
	}
	return disk
}

func imagePath() string { return filepath.Join("d", imageName) }

func quick() Options {
	return Options{Window: hapax.Window{Time: time.Hour}, Digests: true, QuickStart: 1}
}

// The log is not read when there is an image: without its old files' content the
// ledger remembers all the same. The image is gone once the ledger is open.
func TestQuickStart(t *testing.T) {
	o := quick()
	disk := imagedLedger(t, o)
	var opened atomic.Bool
	o.FS = vfs.NewFault(disk, func(op vfs.Op, name string) error {
		if op == vfs.OpOpen && name == wal.Path("d", 1) {
			opened.Store(true)
		}
		return nil
	})
	l := open(t, "d", o)
	if got := admit(t, l, batch(l, 0, imaged)); got[hapax.Duplicate] != imaged {
		t.Errorf("after a quick start: %v", got)
	}
	if opened.Load() {
		t.Error("a quick start opened the log")
	}
	if _, err := disk.Stat(imagePath()); err == nil {
		t.Error("the image is still there")
	}
	l = open(t, "d", Options{Window: o.Window, Digests: true, FS: disk.KillCopy()})
	if got := admit(t, l, batch(l, 0, imaged)); got[hapax.Duplicate] != imaged {
		t.Errorf("killed after a quick start: %v", got)
	}
}

// A crash before any step of a close with an image forgets nothing, and leaves
// nothing that cannot be opened.
func TestCrashWhileImageIsWritten(t *testing.T) {
	o := quick()
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem, nil)
	o.FS = fault
	l := open(t, "d", o)
	admit(t, l, batch(l, 0, imaged))
	var left []*vfs.Mem
	var steps []string
	fault.SetHook(func(op vfs.Op, name string) error {
		last := fmt.Sprintf("%v %s", op, filepath.Base(name))
		if op.Changes() && (len(steps) == 0 || steps[len(steps)-1] != last) {
			left, steps = append(left, mem.KillCopy()), append(steps, last)
		}
		return nil
	})
	must(t, l.Close())
	if !slices.Contains(steps, "rename image.new") {
		t.Fatalf("an image is none of the steps %q", steps)
	}
	for i, disk := range left {
		if _, err := Verify(disk, "d"); err != nil {
			t.Fatalf("crash before %s: %v", steps[i], err)
		}
		if askAll(t, disk, -1) {
			t.Fatalf("crash before %s: the ledger fails", steps[i])
		}
	}
}

// A damaged image never makes a wrong verdict: it is not used, or the ledger
// fails where the damage is met and reads the log when opened again.
func TestDamagedImage(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	whole := imagedLedger(t, quick())
	size, err := whole.Stat(imagePath())
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	met := 0
	for at := 0; at < int(size); at += 1 + r.IntN(int(size)/200) {
		disk := whole.KillCopy()
		flip(t, disk, imagePath(), at)
		if _, err := Verify(disk, "d"); !errors.Is(err, hapax.ErrCorrupt) {
			t.Fatalf("byte %d flipped: verify says %v", at, err)
		}
		if askAll(t, disk, at) {
			met++
			askAll(t, disk, at)
		}
	}
	if met == 0 {
		t.Error("no damage was ever met")
	}
	disk := whole.KillCopy()
	if err := disk.Remove(imagePath()); err != nil {
		t.Fatal(err)
	}
	if askAll(t, disk, -1) {
		t.Error("without its image a ledger reads its log")
	}
}

// askAll opens the ledger, asks about all identities and tells whether it failed.
func askAll(t *testing.T, disk *vfs.Mem, at int) (failed bool) {
	t.Helper()
	o := quick()
	o.FS = disk
	l, err := Open("d", o)
	if err != nil {
		t.Fatalf("byte %d flipped: %v", at, err)
	}
	b := batch(l, 0, imaged)
	err = l.Admit(context.Background(), b)
	if err != nil && !errors.Is(err, hapax.ErrCorrupt) {
		t.Fatalf("byte %d flipped: %v", at, err)
	}
	for i := range b.Entries {
		if err == nil && b.Entries[i].Verdict != hapax.Duplicate {
			t.Fatalf("byte %d flipped: entry %d is %v", at, i, b.Entries[i].Verdict)
		}
	}
	_ = l.Close()
	return err != nil
}

// What an image does not hold is in the newest file of the log: positions,
// claims, receipts, producers.
func TestQuickStartKeepsAll(t *testing.T) {
	ctx := context.Background()
	o := quick()
	o.FS = vfs.NewMem()
	l := open(t, "d", o)
	admit(t, l, batch(l, 0, 10))
	if err := l.Confirm(ctx, Checkpoint{Source: "s", Offset: 41}); err != nil {
		t.Fatal(err)
	}
	held, err := l.Claim(ctx, hapax.Request{Identity: []byte("held"), Lease: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	done, err := l.Claim(ctx, hapax.Request{Identity: []byte("done"), Lease: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(ctx, done, hapax.Receipt("paid")); err != nil {
		t.Fatal(err)
	}
	admitSequences(t, l, sequence(producer(1), 0, 7), hapax.Fresh)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, "d", o)
	if l.picture == nil {
		t.Fatal("no quick start")
	}
	admitSequences(t, l, sequence(producer(1), 0, 7), hapax.Duplicate)
	if c, ok := l.Checkpoint("s"); !ok || c.Offset != 41 {
		t.Errorf("checkpoint %v, %v", c, ok)
	}
	if c, err := l.Claim(ctx, hapax.Request{Identity: []byte("held"), Lease: time.Hour}); err != nil || c.Verdict != hapax.InFlight {
		t.Errorf("a held claim: %v, %v", c.Verdict, err)
	}
	if c, err := l.Claim(ctx, hapax.Request{Identity: []byte("done"), Lease: time.Hour}); err != nil || c.Verdict != hapax.Duplicate || string(c.Receipt) != "paid" {
		t.Errorf("a committed claim: %v %q, %v", c.Verdict, c.Receipt, err)
	}
	if err := l.Commit(ctx, held, nil); err != nil {
		t.Errorf("commit what was held before: %v", err)
	}
}

// What is to be said of an image must fit the file clean, or there is no image.
func TestImageOfTooMuch(t *testing.T) {
	o := quick()
	o.FS = vfs.NewMem()
	l := open(t, "d", o)
	admit(t, l, batch(l, 0, imaged))
	for id := range uint64(1 << 16) { // as if they had been in the file, and left
		l.journal.files[0].ends[id<<32] = 1
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := o.FS.Stat(imagePath()); err == nil {
		t.Error("there is an image")
	}
	l = open(t, "d", o)
	if got := admit(t, l, batch(l, 0, imaged)); got[hapax.Duplicate] != imaged {
		t.Errorf("opened again: %v", got)
	}
}

// An image that another processor wrote, of other buckets, or whose layout no table has, is not used, and
// that is told.
func TestForeignImage(t *testing.T) {
	for what, change := range map[string]func(*image){
		"another kind of processor": func(m *image) { m.Order++ },
		"another kind of table":     func(m *image) { m.Slots-- },
		"no table has":              func(m *image) { m.Layout, m.Size = window.Layout{Bits: 200, Blocks: math.MaxUint32}, 0 },
	} {
		o := quick()
		disk := imagedLedger(t, o)
		var c clean
		must(t, textfile.Read(disk, "d/"+cleanName, &c))
		change(c.Image)
		must(t, textfile.Write(disk, filepath.Join("d", cleanName), c))
		var told bytes.Buffer
		o.FS, o.Logger = disk, slog.New(slog.NewTextHandler(&told, nil))
		l := open(t, "d", o)
		if l.picture != nil || !strings.Contains(told.String(), what) {
			t.Errorf("%s: told: %s", what, told.String())
		}
		if got := admit(t, l, batch(l, 0, imaged)); got[hapax.Duplicate] != imaged {
			t.Error(what, got)
		}
	}
}

// watched is a disk whose image tells when the background reads its first block,
// which waits for goOn, and when all of it was fetched.
type watched struct {
	*vfs.Fault
	reads, goOn, all chan struct{}
}

// watch makes a ledger with an image, of a table so roomy that none of its blocks is
// read to open it.
func watch(t *testing.T, o Options) *watched {
	t.Helper()
	o.Expect = 20 * imaged
	disk := imagedLedger(t, o)
	w := &watched{reads: make(chan struct{}), goOn: make(chan struct{}), all: make(chan struct{})}
	var reads, closes atomic.Int32
	w.Fault = vfs.NewFault(disk, func(op vfs.Op, name string) error {
		switch {
		case filepath.Base(name) != imageName:
		case op == vfs.OpRead && reads.Add(1) == 2: // the first is of what is behind the blocks
			close(w.reads)
			<-w.goOn
		case op == vfs.OpClose && closes.Add(1) == 1:
			close(w.all)
		}
		return nil
	})
	return w
}

// Callers go on while the background reads a block of the image, and what they do
// to that block meanwhile stays.
func TestImageIsReadBeside(t *testing.T) {
	o := quick()
	disk := watch(t, o)
	o.FS = disk
	l := open(t, "d", o)
	<-disk.reads
	done := make(chan error)
	b := batch(l, 0, imaged+1000)
	go func() { done <- l.Admit(context.Background(), b) }()
	select {
	case err := <-done:
		must(t, err)
	case <-time.After(10 * time.Second):
		close(disk.goOn)
		<-done
		t.Fatal("callers wait until the background has read a block")
	}
	for i, e := range b.Entries {
		if known := i < imaged; known != (e.Verdict == hapax.Duplicate) {
			t.Fatalf("entry %d while a block is read: %v", i, e.Verdict)
		}
	}
	close(disk.goOn)
	<-disk.all
	if got := admit(t, l, b); got[hapax.Duplicate] != len(b.Entries) {
		t.Errorf("when the block was read: %v", got)
	}
}

// The background fetches the whole table where nobody asks for it.
func TestImageIsFetched(t *testing.T) {
	o := quick()
	disk := watch(t, o)
	o.FS = disk
	close(disk.goOn)
	l := open(t, "d", o)
	<-disk.all
	before := disk.Count(vfs.OpRead)
	if got := admit(t, l, batch(l, 0, imaged)); got[hapax.Duplicate] != imaged {
		t.Error(got)
	}
	if after := disk.Count(vfs.OpRead); after != before {
		t.Errorf("%d reads for what was fetched", after-before)
	}
}

// failing tells when a ledger says that it has failed.
type failing chan struct{}

func (f failing) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("ledger failed")) {
		close(f)
	}
	return len(line), nil
}

// Damage that the background meets fails the ledger as a caller would.
func TestDamageIsMetBeside(t *testing.T) {
	o := quick()
	disk := imagedLedger(t, o)
	flip(t, disk, imagePath(), 0)
	told := make(failing)
	o.FS, o.Logger = disk, slog.New(slog.NewTextHandler(told, nil))
	l := open(t, "d", o)
	<-told
	if err := l.Admit(context.Background(), batch(l, 0, 1)); !errors.Is(err, hapax.ErrCorrupt) {
		t.Errorf("the ledger goes on: %v", err)
	}
	must(t, l.Close())
	if askAll(t, disk, 0) {
		t.Error("opened again, it reads its log")
	}
}
