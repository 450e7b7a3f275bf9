package vfs_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// everything does each operation once and returns the errors by operation.
func everything(fsys vfs.FS) map[string]error {
	errs := map[string]error{"mkdir": fsys.MkdirAll("/d")}
	var f vfs.File
	f, errs["create"] = fsys.Create("/d/a")
	if f != nil {
		b := []byte("four")
		_, errs["write"] = f.WriteAt(b, 0)
		_, errs["read"] = f.ReadAt(b, 0)
		_, errs["size"] = f.Size()
		errs["truncate"] = f.Truncate(4)
		errs["sync"] = f.Sync()
		errs["close"] = f.Close()
	}
	if f, errs["open"] = fsys.Open("/d/a"); f != nil {
		_ = f.Close()
	}
	if f, errs["openrw"] = fsys.OpenRW("/d/a"); f != nil {
		_ = f.Close()
	}
	_, errs["list"] = fsys.List("/d")
	_, errs["stat"] = fsys.Stat("/d/a")
	_, errs["free"] = fsys.Free("/d")
	errs["syncdir"] = fsys.SyncDir("/d")
	_, errs["lock"] = fsys.Lock("/d/LOCK")
	_, errs["lockshared"] = fsys.LockShared("/d/a")
	errs["rename"] = fsys.Rename("/d/a", "/d/b")
	errs["remove"] = fsys.Remove("/d/b")
	return errs
}

func TestFaultFailsEachOperation(t *testing.T) {
	whole := vfs.NewFault(vfs.NewMem(), nil)
	for op, err := range everything(whole) {
		if err != nil {
			t.Fatalf("%s without a fault: %v", op, err)
		}
	}
	for op := range vfs.OpCount {
		if whole.Count(op) == 0 {
			t.Errorf("%v was not done", op)
		}
		f := vfs.NewFault(vfs.NewMem(), vfs.FailNth(0, syscall.EIO, op))
		errs := everything(f)
		if err := errs[op.String()]; !errors.Is(err, syscall.EIO) || !strings.HasPrefix(err.Error(), op.String()+" ") {
			t.Errorf("%v: error %v", op, err)
		}
	}
}

func TestFaultTranscript(t *testing.T) {
	f := vfs.NewFault(vfs.NewMem(), vfs.FailNth(0, syscall.EMFILE, vfs.OpOpen))
	f.Record()
	everything(f)
	want := `mkdir d
create a
write a 0+4
read a 0+4
size a
truncate a 4
sync a
close a
open a: ` + syscall.EMFILE.Error() + `
openrw a
close a
list d
stat a
free d
syncdir d
lock LOCK
lockshared a
rename a b
remove b
`
	if got := f.Transcript(); got != want {
		t.Errorf("transcript\n%swant\n%s", got, want)
	}
	f.Record()
	if got := f.Transcript(); got != "" {
		t.Errorf("new transcript: %q", got)
	}
}

func TestFaultCounts(t *testing.T) {
	for _, c := range []struct {
		name  string
		hook  vfs.Hook
		fails string // of five writes
	}{
		{"none", nil, "....."},
		{"the third", vfs.FailNth(2, syscall.EIO, vfs.OpWrite), "..x.."},
		{"from the third", vfs.FailFrom(2, syscall.EIO, vfs.OpWrite), "..xxx"},
		{"another", vfs.FailFrom(0, syscall.EIO, vfs.OpSync), "....."},
		{"any, the create first", vfs.FailNth(2, syscall.EIO), ".x..."},
	} {
		t.Run(c.name, func(t *testing.T) {
			fault := vfs.NewFault(vfs.NewMem(), c.hook)
			f, err := fault.Create("/f")
			must(t, err)
			fails := ""
			for range 5 {
				if _, err := f.WriteAt([]byte("x"), 0); err != nil {
					fails += "x"
				} else {
					fails += "."
				}
			}
			if fails != c.fails {
				t.Errorf("writes %s, want %s", fails, c.fails)
			}
			if n, all := fault.Count(vfs.OpWrite), fault.Count(); n != 5 || all != 6 {
				t.Errorf("%d writes of %d operations, want 5 of 6", n, all)
			}
		})
	}
}

func TestFaultShortWrite(t *testing.T) {
	m := vfs.NewMem()
	fault := vfs.NewFault(m, vfs.FailNth(0, vfs.Short(3, syscall.ENOSPC), vfs.OpWrite))
	f, err := fault.Create("/f")
	must(t, err)
	n, err := f.WriteAt([]byte("12345"), 0)
	wantErr(t, "short write", err, syscall.ENOSPC)
	if n != 3 || get(t, m, "/f") != "123" {
		t.Errorf("%d bytes written, file %q", n, get(t, m, "/f"))
	}
	fault.SetHook(vfs.FailNth(0, vfs.Short(9, syscall.EIO)))
	if n, err := f.WriteAt([]byte("abc"), 0); n != 3 || !errors.Is(err, syscall.EIO) {
		t.Errorf("short write longer than the write: %d, %v", n, err)
	}
	fault.SetHook(vfs.FailNth(0, vfs.Short(9, syscall.EIO)))
	wantErr(t, "short sync", f.Sync(), syscall.EIO)
}

// A file whose close fails is closed all the same, as the system does.
func TestFaultClose(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem(), vfs.FailFrom(0, syscall.EIO, vfs.OpClose))
	f, err := fault.Create("/f")
	must(t, err)
	wantErr(t, "close", f.Close(), syscall.EIO)
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("write after a failed close: no error")
	}
}
