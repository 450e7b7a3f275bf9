package ledger

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// TestReadersChangeNothing: who only reads a ledger does so on a file system that is
// read only, beside others who do, closed or left by a crash, and where there is no
// file LOCK too.
func TestReadersChangeNothing(t *testing.T) {
	disk := vfs.NewMem()
	o := Options{Window: hapax.Window{Time: time.Hour}, FS: disk, Clock: goldenClock}
	l := open(t, "d", o)
	b := batch(l, 0, 100)
	admit(t, l, b)
	killed := disk.KillCopy()
	must(t, l.Close())
	copied := disk.KillCopy()
	must(t, copied.Remove("d/LOCK"))
	for name, disk := range map[string]*vfs.Mem{"closed": disk, "killed": killed, "without LOCK": copied} {
		t.Run(name, func(t *testing.T) {
			o := o
			o.ReadOnly = true
			o.FS = vfs.NewFault(disk, func(op vfs.Op, _ string) error {
				if op.Changes() {
					return syscall.EROFS
				}
				return nil
			})
			one, two := open(t, "d", o), open(t, "d", o)
			for _, reader := range []*Ledger{one, two} {
				if _, found, err := reader.Lookup(context.Background(), b.Entries[7].Fingerprint); !found || err != nil {
					t.Errorf("found %t, %v", found, err)
				}
				reader.tend()
			}
			if _, err := Verify(o.FS, "d"); err != nil {
				t.Error(err)
			}
			if name != "without LOCK" {
				w := o
				w.ReadOnly, w.FS = false, disk
				if _, err := Open("d", w); !errors.Is(err, vfs.ErrLocked) {
					t.Errorf("a writer beside readers: %v", err)
				}
			}
			must(t, errors.Join(one.Close(), two.Close()))
		})
	}
}

// TestReaderMakesLock: where it may, a reader of a copy keeps writers out too.
func TestReaderMakesLock(t *testing.T) {
	disk := vfs.NewMem()
	o := Options{Window: hapax.Window{Time: time.Hour}, FS: disk, Clock: goldenClock}
	must(t, open(t, "d", o).Close())
	must(t, disk.Remove("d/LOCK"))
	reader := o
	reader.ReadOnly = true
	r := open(t, "d", reader)
	if _, err := Open("d", o); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("a writer beside a reader: %v", err)
	}
	must(t, r.Close())
	must(t, open(t, "d", o).Close())
}
