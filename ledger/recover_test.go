package ledger

import (
	"errors"
	"fmt"
	"math/rand"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// rolled begins a new file of the log, or only if that lets one go.
func rolled(t *testing.T, l *Ledger, begin func(*journal) error) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := begin(l.journal); err != nil {
		t.Fatal(err)
	}
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
		path := logPath("d", number)
		if err := crashed.Remove(path); err != nil {
			t.Fatal(err)
		}
		refused(t, crashed, o, filepath.ToSlash(path)+" is gone")
	}
}

// Whatever lets files of the log go, time, count or an eviction: after a crash at
// any moment none of them is missed.
func TestFilesGoByTheirSnapshot(t *testing.T) {
	for _, w := range []hapax.Window{{Time: time.Minute}, {Count: 100}, {Unbounded: true}} {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			disk := vfs.NewMem()
			fault := vfs.NewFault(disk, nil)
			var elapsed atomic.Int64
			o := Options{Window: w, FS: fault, Clock: func() time.Time { return goldenClock().Add(time.Duration(elapsed.Load())) }}
			l := open(t, "d", o)
			l.gens.LimitGeneration(20)
			rng := rand.New(rand.NewSource(1))
			fault.SetHook(func(op vfs.Op, name string) error {
				if !op.Changes() || op == vfs.OpWrite {
					return nil
				}
				o.FS = disk.KillCopy()
				if rng.Intn(2) == 0 {
					o.FS = disk.PowerLoss(rng)
				}
				if err := reopens(o); err != nil {
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
