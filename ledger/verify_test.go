package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/internal/wal"
	"github.com/hapaxmq/hapax/ledger/cold"
)

// coldLedger makes a ledger in "d" that has moved most of its identities to cold
// files, and tells how many it admitted.
func coldLedger(t *testing.T, disk *vfs.Mem, details bool) (o Options, admitted int) {
	t.Helper()
	var elapsed atomic.Int64
	o = Options{
		Window: hapax.Window{Time: time.Hour}, MaxMemory: minMemory, FS: disk, Digests: true, Details: details,
		Clock: func() time.Time { return goldenClock().Add(time.Duration(elapsed.Load())) },
	}
	l, err := Open("d", o)
	if err != nil {
		t.Fatal(err)
	}
	const each = 2000
	for moved := 0; moved < 2; {
		if admitted > 1_000_000 {
			t.Fatal("nothing has moved to a cold file")
		}
		if got := admit(t, l, batch(l, admitted, admitted+each)); got[hapax.Fresh] != each {
			t.Fatal(got)
		}
		admitted += each
		elapsed.Add(int64(30 * time.Second))
		l.mu.Lock()
		for l.cold.wanted {
			l.cold.done.Wait()
		}
		moved = len(l.cold.files)
		l.mu.Unlock()
		if admitted == 46*each { // they are in a cold file by now
			for i := range 3 {
				if _, err := l.Forget(context.Background(), batch(l, i, i+1).Entries[0].Fingerprint); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return o, admitted
}

// TestVerifyCold: a ledger with cold files is sound; a byte of any file changed,
// or a file gone, is told.
func TestVerifyCold(t *testing.T) {
	disk := vfs.NewMem()
	o, admitted := coldLedger(t, disk, false)
	report, err := Verify(disk, "d")
	t.Logf("%d admitted: %+v", admitted, report)
	if err != nil || !report.Clean || report.Identities < int64(admitted)/2 {
		t.Fatal(err)
	}
	names, err := disk.List("d")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, name := range names {
		path := filepath.Join("d", name)
		content := readAll(t, disk, path)
		if name == lockName {
			continue
		}
		for range 12 {
			damaged := disk.KillCopy()
			at := r.IntN(len(content))
			flip(t, damaged, path, at)
			if !told(damaged, o) {
				t.Errorf("byte %d of %d of %s: nobody tells", at, len(content), name)
			}
		}
		gone := disk.KillCopy()
		if err := gone.Remove(path); err != nil {
			t.Fatal(err)
		}
		if name != cleanName && !told(gone, o) {
			t.Errorf("%s is gone: nobody tells", name)
		}
	}
}

func flip(t *testing.T, disk *vfs.Mem, path string, at int) {
	t.Helper()
	f, err := disk.OpenRW(path)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], int64(at))
	if err == nil {
		_, err = f.WriteAt([]byte{^b[0]}, int64(at))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// told tells whether Verify or Open refuses a ledger.
func told(disk *vfs.Mem, o Options) bool {
	if _, err := Verify(disk, "d"); err != nil {
		return true
	}
	o.FS = disk
	l, err := Open("d", o)
	if err == nil {
		_ = l.Close()
	}
	return err != nil
}

// Verify changes nothing, not even what a crash left for the next Open.
func TestVerifyChangesNothing(t *testing.T) {
	disk := vfs.NewMem()
	playGolden(t, disk, "d")
	l := open(t, "d", goldenOptions(disk))
	admit(t, l, batch(l, 0, 10))
	crashed := disk.KillCopy()
	path := wal.Path("d", 2)
	size := len(readAll(t, crashed, path))
	writeAt(t, crashed, path, int64(size), bytes.Repeat([]byte{7}, 100)) // a torn end
	before := files(t, crashed)
	report, err := Verify(crashed, "d")
	if err != nil || report.Clean || report.Torn == 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if after := files(t, crashed); !maps.EqualFunc(before, after, bytes.Equal) {
		t.Errorf("files were %v, are %v", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
	}
}

func files(t *testing.T, fsys vfs.FS) map[string][]byte {
	t.Helper()
	names, err := fsys.List("d")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]byte)
	for _, name := range names {
		all[name] = readAll(t, fsys, filepath.Join("d", name))
	}
	return all
}

func writeAt(t *testing.T, fsys vfs.FS, path string, at int64, b []byte) {
	t.Helper()
	f, err := fsys.OpenRW(path)
	if err == nil {
		_, err = f.WriteAt(b, at)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What Verify refuses, and how it says so.
func TestVerifyErrors(t *testing.T) {
	frames := func(frames ...[]byte) func(t *testing.T, disk *vfs.Mem) {
		return func(t *testing.T, disk *vfs.Mem) {
			if err := writeFrames(disk, slices.Concat(frames...)); err != nil {
				t.Fatal(err)
			}
		}
	}
	generation := binary.AppendVarint(binary.AppendVarint(binary.AppendUvarint(nil, 1), 20), 10)
	commit := appendCommit(nil, &Entry{}, 5, nil)
	backwards := appendSource(nil, "s", &source{confirmed: -1000}, nil)
	for name, c := range map[string]struct {
		do   func(t *testing.T, disk *vfs.Mem)
		want string
	}{
		"a file in another's place": {func(t *testing.T, disk *vfs.Mem) {
			if err := writeFrames(disk, nil); err != nil {
				t.Fatal(err)
			}
			if err := disk.Rename(wal.Path("d", 1), wal.Path("d", 7)); err != nil {
				t.Fatal(err)
			}
		}, "0000000000000007.log was written as number 1"},
		"a cold file in another's place": {func(t *testing.T, disk *vfs.Mem) {
			w, err := cold.NewWriter(disk, "d", cold.Plan{Number: 3})
			if err != nil {
				t.Fatal(err)
			}
			f, err := w.Finish()
			if err = errors.Join(err, f.Close(), disk.Rename(f.Path(), cold.Path("d", 4))); err != nil {
				t.Fatal(err)
			}
		}, "was written as d/0000000000000003.cold"},
		"open elsewhere": {func(t *testing.T, disk *vfs.Mem) {
			if _, err := disk.Lock("d/LOCK"); err != nil {
				t.Fatal(err)
			}
		}, "it is open already, in another process or a second time in this one: close it there first"},
		"no ledger":                      {func(t *testing.T, disk *vfs.Mem) { _ = disk.Remove("d/ledger") }, "there is no ledger"},
		"a generation that ends early":   {frames(appendFuzzFrame(nil, frameGeneration, generation)), "0000000000000001.log at offset 96"},
		"a generation of another file":   {frames(appendFuzzFrame(nil, frameCommit, commit)), "no generation that is known"},
		"a position below none":          {frames(appendFuzzFrame(nil, frameSource, backwards)), "no position"},
		"a frame of an unknown type":     {frames(appendFuzzFrame(nil, 99, nil)), "unknown type 99"},
		"a frame that is too long":       {frames(appendFuzzFrame(nil, frameTokens, []byte{1, 2})), "1 bytes too many"},
		"a frame that is too short":      {frames(appendFuzzFrame(nil, frameClaim, nil)), "no fingerprint"},
		"a window that is none":          {frames(appendFuzzFrame(nil, frameSequence, []byte{0, 65})), "no window of the ledger"},
		"windows that differ":            {frames(appendFuzzFrame(appendFuzzFrame(nil, frameSequence, []byte{0, 64}), frameSequence, []byte{0, 0})), "no window of the ledger"},
		"digests that a ledger has none": {frames(appendFuzzFrame(nil, frameAdmit, make([]byte, 9))), "no known flags"},
	} {
		t.Run(name, func(t *testing.T) {
			disk := emptyLedger(t)
			c.do(t, disk)
			_, err := Verify(disk, "d")
			if err == nil || !strings.Contains(filepath.ToSlash(err.Error()), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			t.Log(err)
		})
	}
}

// What was forgotten while it was cold stands in each snapshot.
func TestVerifyHidden(t *testing.T) {
	mem := vfs.NewMem()
	o := Options{Window: hapax.Window{Time: 128 * time.Hour}, FS: mem, Clock: goldenClock, MaxMemory: 8 << 20}
	l := open(t, "d", o)
	b := batch(l, 0, 100)
	admit(t, l, b)
	l.Chill()
	if ok, err := l.Forget(context.Background(), b.Entries[0].Fingerprint); !ok || err != nil {
		t.Fatal(ok, err)
	}
	rolled(t, l, (*journal).rollNow)
	must(t, l.Close())
	if _, err := Verify(mem, "d"); err != nil {
		t.Error(err)
	}
}
