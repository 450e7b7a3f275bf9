package wal

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// filled is a shelf with records over several files.
func filled(t testing.TB, fsys vfs.FS, keep, records int) *shelf {
	t.Helper()
	s, err := openShelf(fsys, Options{}, keep)
	must(t, err)
	for range records {
		must(t, s.addSynced())
		s.rest()
	}
	return s
}

// numbers are those of the files that are there.
func numbers(t testing.TB, fsys vfs.FS) (all []uint64) {
	t.Helper()
	files, err := List(fsys, "d")
	must(t, err)
	for _, f := range files {
		all = append(all, f.Number)
	}
	return all
}

// Files that hold nothing that is still shown go; the last reader of one takes it
// along.
func TestFilesGo(t *testing.T) {
	mem := vfs.NewMem()
	s := filled(t, mem, 10, 60)
	oldest := s.standing()[0]
	f, err := s.log.File(oldest.file)
	must(t, err)
	for n := s.log.Newest(); s.log.Newest() < n+4; s.rest() {
		must(t, s.addSynced())
	}
	if _, err := s.log.File(oldest.file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is going is opened: %v", err)
	}
	if _, err := mem.Stat(Path("d", oldest.file)); err != nil {
		t.Errorf("the file is gone beside its reader: %v", err)
	}
	b := make([]byte, len(content(oldest.n)))
	if _, err := f.ReadAt(b, oldest.offset); err != nil || !bytes.Equal(b, content(oldest.n)) {
		t.Errorf("read %x, %v", b, err)
	}
	f.Release()
	if _, err := mem.Stat(Path("d", oldest.file)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file stays behind its last reader: %v", err)
	}
	must(t, s.check(s.n, s.n))
	must(t, s.log.Close())
	if all := numbers(t, mem); all[0] < s.stands[0].file {
		t.Errorf("files %v, the oldest record is in %d", all, s.stands[0].file)
	}
}

// Trim lets files go although none is full.
func TestTrim(t *testing.T) {
	mem := vfs.NewMem()
	removed := make(chan struct{}, 100)
	fault := vfs.NewFault(mem, nil)
	s := filled(t, fault, 1000, 60)
	if len(s.log.Older()) == 0 {
		t.Fatal("all in one file")
	}
	fault.SetHook(func(op vfs.Op, _ string) error {
		if op == vfs.OpRemove {
			removed <- struct{}{}
		}
		return nil
	})
	s.state.Lock()
	s.keep, s.stands = 0, nil
	s.state.Unlock()
	s.log.Trim(0)
	<-removed
	must(t, s.log.Close())
	if all := numbers(t, mem); len(all) != 1 {
		t.Errorf("files %v", all)
	}
}

// After a clean close nothing is read of older files but their headers, and nothing
// is written but what makes the newest ready.
func TestQuickOpen(t *testing.T) {
	mem := vfs.NewMem()
	s := filled(t, mem, 1000, 200)
	must(t, s.log.Close())
	older := map[string]bool{}
	for _, e := range s.log.Older() {
		older[Path("d", e.Number)] = true
	}
	if len(older) < 3 {
		t.Fatal("too few files")
	}
	var mu sync.Mutex
	reads := map[string]int{}
	fault := vfs.NewFault(mem, func(op vfs.Op, name string) error {
		mu.Lock()
		defer mu.Unlock()
		if op == vfs.OpRead && older[name] {
			reads[name]++
		}
		if (op == vfs.OpWrite || op == vfs.OpTruncate) && older[name] {
			t.Errorf("%v %s", op, name)
		}
		return nil
	})
	again, err := openShelf(fault, Options{}, 1000)
	must(t, err)
	for name, n := range reads {
		if n != 1 {
			t.Errorf("%s was read %d times", name, n)
		}
	}
	must(t, again.check(200, 200))
	must(t, again.log.Close())
	if n, m := s.log.Newest(), again.log.Newest(); n != m {
		t.Errorf("opened and closed, and another file: %d after %d", m, n)
	}
}

// The committer tells of all that was synced, and at last of the end.
func TestCommitted(t *testing.T) {
	var synced atomic.Int64
	some := make(chan struct{}, 1)
	s, err := openShelf(vfs.NewMem(), Options{Committed: func(end int64, err error) {
		if err != nil || end < synced.Load() {
			t.Error(end, err)
		}
		synced.Store(end)
		poke(some)
	}}, 1000)
	must(t, err)
	for i := range 300 {
		_, end, err := s.add()
		must(t, err)
		s.log.Want(end)
		for i%20 == 0 && synced.Load() < end {
			<-some
		}
	}
	end := s.log.End()
	s.log.Want(end)
	must(t, s.log.Close())
	if synced.Load() < end {
		t.Errorf("told of %d of %d", synced.Load(), end)
	}
}

// Callers append, sync, want and read over many files.
// A sync is told though it ends before the goroutine that tells has first run: with
// one processor that is so.
func TestFirstSyncIsTold(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for range 20 {
		told := make(chan int64, 1)
		l, err := Open(vfs.NewMem(), "log", Options{
			Snapshot:  func(Add) error { return nil },
			Committed: func(synced int64, _ error) { told <- synced },
		}, func(Frame) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		p, err := l.Append(1, []byte("first"))
		if err == nil {
			err = l.Sync(p.End)
		}
		if err != nil {
			t.Fatal(err)
		}
		if synced := <-told; synced < p.End {
			t.Errorf("told of %d, and %d are synced", synced, p.End)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestBesideEachOther(t *testing.T) {
	for name, fsys := range map[string]vfs.FS{"memory": vfs.NewMem(), "system": vfs.OS()} {
		t.Run(name, func(t *testing.T) {
			if name == "system" {
				t.Chdir(t.TempDir())
			}
			var synced atomic.Int64
			s, err := openShelf(fsys, Options{FileSize: 20000, MaxBuffered: 4000, Committed: func(end int64, err error) {
				if err != nil {
					t.Error(err)
				}
				synced.Store(end)
			}}, 300)
			must(t, err)
			var working sync.WaitGroup
			for i := range 6 {
				working.Go(func() {
					for k := range 150 {
						n, end, err := s.add()
						switch {
						case err != nil:
						case (i+k)%3 == 0:
							s.log.Want(end)
						default:
							if err = s.log.Sync(end); err == nil {
								s.ack(n)
							}
						}
						if err != nil {
							t.Error(err)
							return
						}
						stands := s.standing()
						p := stands[(k*31)%len(stands)]
						if acked := s.acked.Load(); p.n <= acked {
							if err := s.shown(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
								t.Error(err)
							}
						}
					}
				})
			}
			working.Wait()
			must(t, s.log.Sync(s.log.End()))
			must(t, s.check(900, 900))
			must(t, s.log.Close())
			s, err = openShelf(fsys, Options{}, 300)
			must(t, err)
			must(t, s.check(900, 900))
			f, err := s.log.File(s.log.Newest())
			must(t, err)
			if has := f.System() != nil; has != (name == "system") {
				t.Errorf("the system's file: %t", has)
			}
			f.Release()
			must(t, s.log.Close())
		})
	}
}

// What opening refuses, and how it says so.
func TestRefused(t *testing.T) {
	mem := vfs.NewMem()
	s := filled(t, mem, 1000, 60)
	first := s.stands[0].file
	crashed := mem.KillCopy()
	newest := s.log.Newest()
	must(t, s.log.Close())
	last := s.log.Newest()
	write := func(m *vfs.Mem, path string, at int64, b string) {
		f, err := m.OpenRW(path)
		must(t, err)
		_, err = f.WriteAt([]byte(b), at)
		must(t, errors.Join(err, f.Close()))
	}
	shorten := func(m *vfs.Mem, path string, by int64) {
		f, err := m.OpenRW(path)
		must(t, err)
		size, _ := f.Size()
		must(t, errors.Join(f.Truncate(size-by), f.Close()))
	}
	for name, c := range map[string]struct {
		disk   *vfs.Mem
		damage func(*vfs.Mem)
		want   string
	}{
		"middle of the newest":      {crashed, func(m *vfs.Mem) { write(m, Path("d", newest), 100, "xxxx") }, Path("d", newest) + " at offset"},
		"closed, the seal":          {mem, func(m *vfs.Mem) { write(m, Path("d", last), 300, "xxxx") }, Path("d", last) + " at offset"},
		"closed, the newest cut":    {mem, func(m *vfs.Mem) { shorten(m, Path("d", last), 1) }, "had"},
		"closed, the newest gone":   {mem, func(m *vfs.Mem) { must(t, m.Remove(Path("d", last))) }, "is gone"},
		"closed, all gone":          {mem, func(m *vfs.Mem) { removeAll(t, m) }, "is gone"},
		"closed, one more":          {mem, func(m *vfs.Mem) { must(t, m.Rename(Path("d", first), Path("d", last+1))) }, "was not there"},
		"closed, the mark":          {mem, func(m *vfs.Mem) { write(m, markPath("d"), 3, "x") }, "does not match its checksum"},
		"an older file gone":        {crashed, func(m *vfs.Mem) { must(t, m.Remove(Path("d", first))) }, Path("d", first) + " is gone"},
		"closed, an older one gone": {mem, func(m *vfs.Mem) { must(t, m.Remove(Path("d", first))) }, Path("d", first) + " is gone"},
		"an older file cut":         {crashed, func(m *vfs.Mem) { shorten(m, Path("d", first), 1) }, "cut off"},
		"header of an older file":   {crashed, func(m *vfs.Mem) { write(m, Path("d", first), 10, "x") }, Path("d", first) + " at offset 0"},
		"another file's name":       {crashed, func(m *vfs.Mem) { must(t, m.Rename(Path("d", newest), Path("d", newest+1))) }, "give it its name back"},
		"no name of a file":         {crashed, func(m *vfs.Mem) { must(t, m.Rename(Path("d", newest), "d/new.log")) }, "no name"},
	} {
		t.Run(name, func(t *testing.T) {
			m := c.disk.KillCopy()
			c.damage(m)
			before := m.KillCopy()
			_, err := openShelf(m, Options{}, 1000)
			if !errors.Is(err, hapax.ErrCorrupt) || !strings.Contains(filepath.ToSlash(err.Error()), filepath.ToSlash(c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			a, _ := m.List("d")
			b, _ := before.List("d")
			if len(a) != len(b) {
				t.Errorf("files %v, were %v", a, b)
			}
		})
	}
	if _, err := openShelf(vfs.NewMem(), Options{MustExist: true}, 1); !errors.Is(err, hapax.ErrCorrupt) {
		t.Errorf("no log, and it must exist: %v", err)
	}
}

func removeAll(t *testing.T, m *vfs.Mem) {
	t.Helper()
	for _, n := range numbers(t, m) {
		must(t, m.Remove(Path("d", n)))
	}
}

// What is no frame of the owner's is refused, and nothing else happens.
func TestAppendRefuses(t *testing.T) {
	s, err := openShelf(vfs.NewMem(), Options{Segment: segment.Options{MaxFrame: 100}}, 10)
	must(t, err)
	if _, err := s.log.Append(kindRecord, make([]byte, 101)); !errors.Is(err, segment.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	for _, kind := range []uint8{0, KindComplete, KindComplete + 1} {
		if _, err := s.log.Append(kind); !errors.Is(err, segment.ErrBadType) {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
	must(t, s.log.Close())
	must(t, s.log.Close())
	if _, err := s.log.Append(kindRecord); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if _, err := s.log.File(1); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// A snapshot that fails makes the log read-only, and opening goes on without it.
func TestSnapshotFails(t *testing.T) {
	mem, broken := vfs.NewMem(), errors.New("no state")
	s := filled(t, mem, 1000, 5)
	s.log.o.Snapshot = func(add Add) error { return errors.Join(add(kindCount, make([]byte, 8)), broken) }
	if err := s.log.Close(); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	wantShelf(t, "afterwards", mem, 1000, 5, 5)
}

// After a failed sync the next life leaves what was durable where it stands, and
// copies what was not into a new file.
func TestTailIsCopied(t *testing.T) {
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem, nil)
	s := filled(t, fault, 1000, 10)
	sure, newest := s.standing(), s.log.Newest()
	fault.SetHook(vfs.FailNth(0, syscall.EIO, vfs.OpSync))
	for range 5 {
		_, _, err := s.add()
		must(t, err)
	}
	if err := s.log.Sync(s.log.End()); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if err := s.log.Close(); !errors.Is(err, ErrReadOnly) {
		t.Error(err)
	}
	again, err := openShelf(mem, Options{}, 1000)
	must(t, err)
	must(t, again.check(15, 15))
	for i, p := range again.standing() {
		switch {
		case i < len(sure) && p != sure[i]:
			t.Errorf("record %d was at %v, is at %v", i, sure[i], p)
		case i >= len(sure) && p.file <= newest:
			t.Errorf("record %d is still in file %d", i, p.file)
		}
	}
	older := again.log.Older()
	last := older[len(older)-1]
	if size, err := mem.Stat(Path("d", newest)); err != nil || last.Number != newest || size != last.End {
		t.Errorf("file %d has %d bytes, %v: %v", newest, size, last, err)
	}
	must(t, again.log.Close())
}

// After a clean close every byte of every file counts, and Verify finds it.
func TestVerify(t *testing.T) {
	mem := vfs.NewMem()
	s := filled(t, mem, 1000, 60)
	must(t, Verify(mem.KillCopy(), "d", Options{Kind: testKind}))
	must(t, s.log.Close())
	must(t, Verify(mem, "d", Options{Kind: testKind, MustExist: true}))
	if err := Verify(mem, "e", Options{MustExist: true}); err == nil {
		t.Error("there is none")
	}
	for _, number := range numbers(t, mem) {
		file, err := mem.OpenRW(Path("d", number))
		must(t, err)
		size, err := file.Size()
		must(t, err)
		var b [1]byte
		for at := int64(0); at < size; at += 3 {
			_, err := file.ReadAt(b[:], at)
			must(t, err)
			b[0] ^= 1 << (at % 8)
			_, err = file.WriteAt(b[:], at)
			must(t, err)
			if err := Verify(mem, "d", Options{Kind: testKind}); err == nil {
				t.Errorf("byte %d of file %d is another, and nothing is said", at, number)
			}
			b[0] ^= 1 << (at % 8)
			_, err = file.WriteAt(b[:], at)
			must(t, err)
		}
		must(t, file.Close())
	}
}
