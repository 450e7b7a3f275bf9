package ledger

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/internal/wal"
)

// lookedAt is a ledger whose log has frames of one key, the last of them in the
// newest file: one first copy and two more.
func lookedAt(t *testing.T) (*Ledger, *vfs.Fault) {
	t.Helper()
	fault := vfs.NewFault(vfs.NewMem(), nil)
	l := open(t, "d", Options{Window: hapax.Window{Time: time.Hour}, FS: fault, Clock: goldenClock, Details: true})
	first := batch(l, 0, 100)
	first.Source = "s"
	for i := range first.Entries {
		first.Entries[i].Offset = int64(1000 + i)
	}
	admit(t, l, first)
	rolled(t, l, (*journal).rollNow)
	admit(t, l, batch(l, 0, 100))
	admit(t, l, batch(l, 0, 100))
	return l, fault
}

// onRead has do called once, before a file of the log is read.
func onRead(fault *vfs.Fault, path string, do func() error) {
	done := false
	fault.SetHook(func(op vfs.Op, name string) error {
		if op != vfs.OpRead || name != path || done {
			return nil
		}
		done = true
		return do()
	})
}

// A read that fails is an error of Lookup, of the newest file too, and only of
// that call.
func TestLookupCannotRead(t *testing.T) {
	l, fault := lookedAt(t)
	broken := errors.New("the disk is broken")
	key := batch(l, 7, 8).Entries[0].Fingerprint
	for number := uint64(1); number <= 2; number++ {
		onRead(fault, wal.Path("d", number), func() error { return broken })
		if s, ok, err := l.Lookup(context.Background(), key); ok || !errors.Is(err, broken) {
			t.Errorf("file %d cannot be read: %+v %v %v", number, s, ok, err)
		}
	}
	if s, ok, err := l.Lookup(context.Background(), key); !ok || err != nil || s.Copies != 2 {
		t.Errorf("got %+v %v %v", s, ok, err)
	}
}

// Nothing is missed or counted twice if the newest file is sealed while it is read.
func TestLookupWhileSealing(t *testing.T) {
	l, fault := lookedAt(t)
	key := batch(l, 7, 8).Entries[0].Fingerprint
	reads := 0
	fault.SetHook(func(op vfs.Op, name string) error {
		if op == vfs.OpRead && filepath.Base(name) == filepath.Base(wal.Path("d", 2)) {
			if reads++; reads == 3 { // behind the first frames
				rolled(t, l, (*journal).rollNow)
			}
		}
		return nil
	})
	s, ok, err := l.Lookup(context.Background(), key)
	want := hapax.Position{Source: "s", Offset: 1007}
	if !ok || err != nil || s.Copies != 2 || s.Position != want {
		t.Errorf("got %+v %v %v", s, ok, err)
	}
	if got := l.journal.newestNumber(); got != 3 {
		t.Errorf("nothing was sealed: file %d is the newest", got)
	}
}

// With Details the log of what is in cold files is kept, over reopening too.
func TestLookupCold(t *testing.T) {
	disk := vfs.NewMem()
	o, _ := coldLedger(t, disk, true)
	l := open(t, "d", o)
	one := batch(l, 10, 11)
	if got := admit(t, l, one); got[hapax.Duplicate] != 1 {
		t.Fatal(got)
	}
	rolled(t, l, (*journal).rollNow)
	s, ok, err := l.Lookup(context.Background(), one.Entries[0].Fingerprint)
	if !ok || err != nil || !s.First.Equal(goldenClock()) || s.Copies != 1 {
		t.Errorf("got %+v %v %v", s, ok, err)
	}
}
