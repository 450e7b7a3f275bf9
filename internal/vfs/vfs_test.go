package vfs_test

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// forms runs a test on every form of a file system, each with a directory.
func forms(t *testing.T, test func(t *testing.T, fsys vfs.FS, dir string)) {
	mem := func(t *testing.T) *vfs.Mem {
		m := vfs.NewMem()
		must(t, m.MkdirAll("/data"))
		return m
	}
	t.Run("os", func(t *testing.T) { test(t, vfs.OS(), t.TempDir()) })
	t.Run("mem", func(t *testing.T) { test(t, mem(t), "/data") })
	t.Run("fault", func(t *testing.T) { test(t, vfs.NewFault(mem(t), nil), "/data") })
	t.Run("after kill", func(t *testing.T) { test(t, mem(t).KillCopy(), "/data") })
	t.Run("after power loss", func(t *testing.T) { test(t, mem(t).PowerLoss(nil), "/data") })
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: error %v, want %v", what, got, want)
	}
}

// put makes a file with this content, not synced, and closes it.
func put(t testing.TB, fsys vfs.FS, name, content string) {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	_, err = f.WriteAt([]byte(content), 0)
	must(t, err)
	must(t, f.Close())
}

func get(t testing.TB, fsys vfs.FS, name string) string {
	t.Helper()
	f, err := fsys.Open(name)
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n != len(b) {
		t.Fatalf("read %s: %d of %d bytes: %v", name, n, len(b), err)
	}
	return string(b)
}

func TestFile(t *testing.T) {
	forms(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "a")
		f, err := fsys.Create(name)
		must(t, err)
		if f.Name() != name {
			t.Errorf("name %q, want %q", f.Name(), name)
		}
		_, err = f.WriteAt([]byte("world"), 6)
		must(t, err)
		_, err = f.WriteAt([]byte("hello"), 0)
		must(t, err)
		must(t, f.Sync())
		if got := get(t, fsys, name); got != "hello\x00world" {
			t.Errorf("content %q", got)
		}
		buf := make([]byte, 8)
		if n, err := f.ReadAt(buf, 6); n != 5 || err != io.EOF { //nolint:errorlint // io.ReaderAt returns it bare
			t.Errorf("read over the end: %d, %v; want 5, EOF", n, err)
		}
		if n, err := f.ReadAt(buf, 11); n != 0 || err != io.EOF { //nolint:errorlint // the same
			t.Errorf("read behind the end: %d, %v; want 0, EOF", n, err)
		}
		must(t, f.Truncate(5))
		must(t, f.Truncate(7))
		if got := get(t, fsys, name); got != "hello\x00\x00" {
			t.Errorf("cut and extended: %q", got)
		}
		if _, err := f.ReadAt(buf, -1); err == nil {
			t.Error("read at a negative offset: no error")
		}
		must(t, f.Close())
		_, err = f.WriteAt(buf, 0)
		wantErr(t, "write to a closed file", err, fs.ErrClosed)
		wantErr(t, "second close", f.Close(), fs.ErrClosed)

		f, err = fsys.Open(name)
		must(t, err)
		if _, err := f.WriteAt(buf, 0); err == nil {
			t.Error("write to a file opened for reading: no error")
		}
		must(t, f.Close())
		f, err = fsys.OpenRW(name)
		must(t, err)
		_, err = f.WriteAt([]byte("J"), 0)
		must(t, err)
		must(t, f.Close())
		if got := get(t, fsys, name); got != "Jello\x00\x00" {
			t.Errorf("opened and written again: %q", got)
		}
	})
}

func TestNames(t *testing.T) {
	forms(t, func(t *testing.T, fsys vfs.FS, dir string) {
		at := func(name string) string { return filepath.Join(dir, name) }
		put(t, fsys, at("b"), "b")
		put(t, fsys, at("a"), "a")
		must(t, fsys.MkdirAll(at("d/e/f")))
		must(t, fsys.MkdirAll(at("d/e")))
		put(t, fsys, at("d/e/x"), "x")
		if names, err := fsys.List(dir); err != nil || !slices.Equal(names, []string{"a", "b", "d"}) {
			t.Errorf("list: %v, %v", names, err)
		}
		_, err := fsys.Create(at("a"))
		wantErr(t, "create over a file", err, fs.ErrExist)
		_, err = fsys.Create(at("none/a"))
		wantErr(t, "create in no directory", err, fs.ErrNotExist)
		_, err = fsys.Open(at("c"))
		wantErr(t, "open nothing", err, fs.ErrNotExist)
		_, err = fsys.OpenRW(at("c"))
		wantErr(t, "open nothing", err, fs.ErrNotExist)
		_, err = fsys.Stat(at("c"))
		wantErr(t, "stat nothing", err, fs.ErrNotExist)
		_, err = fsys.List(at("c"))
		wantErr(t, "list nothing", err, fs.ErrNotExist)
		wantErr(t, "remove nothing", fsys.Remove(at("c")), fs.ErrNotExist)
		wantErr(t, "rename nothing", fsys.Rename(at("c"), at("d")), fs.ErrNotExist)
		wantErr(t, "sync nothing", fsys.SyncDir(at("c")), fs.ErrNotExist)
		if err := fsys.MkdirAll(at("a/b")); err == nil {
			t.Error("directory in a file: no error")
		}
		if err := fsys.Remove(at("d")); err == nil {
			t.Error("remove a directory with files: no error")
		}

		must(t, fsys.Rename(at("a"), at("b")))
		must(t, fsys.SyncDir(dir))
		if got := get(t, fsys, at("b")); got != "a" {
			t.Errorf("renamed over a file: %q", got)
		}
		if size, err := fsys.Stat(at("b")); size != 1 || err != nil {
			t.Errorf("stat: %d, %v", size, err)
		}
		must(t, fsys.Rename(at("b"), at("d/e/b")))
		must(t, fsys.Remove(at("d/e/x")))
		must(t, fsys.Remove(at("d/e/f")))
		if names, err := fsys.List(at("d/e")); err != nil || !slices.Equal(names, []string{"b"}) {
			t.Errorf("list: %v, %v", names, err)
		}
		if free, err := fsys.Free(dir); err != nil || free <= 0 {
			t.Errorf("free: %d, %v", free, err)
		}
	})
}

func TestRemovedFileStaysOpen(t *testing.T) {
	forms(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "a")
		put(t, fsys, name, "old")
		f, err := fsys.OpenRW(name)
		must(t, err)
		defer f.Close()
		if err := fsys.Remove(name); err != nil {
			t.Skip("this system keeps open files:", err)
		}
		put(t, fsys, name, "new")
		b := make([]byte, 3)
		if _, err := f.ReadAt(b, 0); err != nil || string(b) != "old" {
			t.Errorf("removed file reads %q, %v", b, err)
		}
	})
}

func TestLock(t *testing.T) {
	forms(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "LOCK")
		lock, err := fsys.Lock(name)
		must(t, err)
		_, err = fsys.Lock(name)
		wantErr(t, "second lock", err, vfs.ErrLocked)
		if want := "lock " + name + ": it is open already, in another process or a second time in this one: close it there first"; err == nil || err.Error() != want {
			t.Errorf("second lock says %q, want %q", err, want)
		}
		must(t, lock.Close())
		if err := lock.Close(); err == nil {
			t.Error("second close of a lock: no error")
		}
		lock, err = fsys.Lock(name)
		must(t, err)
		must(t, lock.Close())
		if _, err := fsys.Stat(name); err != nil {
			t.Errorf("the lock's file is gone: %v", err)
		}
		_, err = fsys.LockShared(name + "2")
		wantErr(t, "shared lock of no file", err, fs.ErrNotExist)
		one, err := fsys.LockShared(name)
		must(t, err)
		two, err := fsys.LockShared(name)
		must(t, err)
		_, err = fsys.Lock(name)
		wantErr(t, "lock of what is shared", err, vfs.ErrLocked)
		must(t, one.Close())
		_, err = fsys.Lock(name)
		wantErr(t, "lock of what one still shares", err, vfs.ErrLocked)
		must(t, two.Close())
		lock, err = fsys.Lock(name)
		must(t, err)
		_, err = fsys.LockShared(name)
		wantErr(t, "shared lock of what is locked", err, vfs.ErrLocked)
		must(t, lock.Close())
		_, err = fsys.Lock(filepath.Join(dir, "none", "LOCK"))
		wantErr(t, "lock in no directory", err, fs.ErrNotExist)
	})
}

// Readers, writers and syncs of the same files do not race.
func TestConcurrentUse(t *testing.T) {
	forms(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "shared")
		put(t, fsys, name, "")
		f, err := fsys.OpenRW(name)
		must(t, err)
		defer f.Close()
		var workers sync.WaitGroup
		for w := range 4 {
			workers.Go(func() {
				own := filepath.Join(dir, string(rune('a'+w)))
				b := make([]byte, 100)
				for i := range 50 {
					_, err := f.WriteAt(b, int64(w*5000+i*100))
					must2(t, err)
					_, _ = f.ReadAt(b, int64(i*400))
					must2(t, f.Sync())
					c, err := fsys.Create(own)
					must2(t, err)
					must2(t, c.Close())
					_, err = fsys.List(dir)
					must2(t, err)
					must2(t, fsys.Rename(own, own+"2"))
					must2(t, fsys.SyncDir(dir))
					must2(t, fsys.Remove(own+"2"))
					if m, ok := fsys.(*vfs.Mem); ok && i%10 == 0 {
						m.PowerLoss(nil)
						m.KillCopy()
					}
				}
			})
		}
		workers.Wait()
	})
}

// must2 is must for goroutines, which must not end the test.
func must2(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
