package segment_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// errCrash stops a life at an operation.
var errCrash = errors.New("crash")

// life is one run of a program that appends the frames of the tests to a file,
// and what it may count on when it ends.
type life struct {
	fsys     vfs.FS
	opts     segment.Options
	w        *segment.Writer
	appended int  // frames handed to Append
	flushed  int  // frames of a Flush or Sync that returned
	durable  int  // frames of a Sync that returned, or found by an earlier life
	created  bool // Create returned
	sealed   bool // Seal returned
}

// open makes the file or goes on with the one that an earlier life left.
func (l *life) open() error {
	w, err := segment.Create(l.fsys, path, header, l.opts)
	if err == nil {
		l.appended = 0
	}
	if errors.Is(err, errExist) {
		var r segment.Report
		if r, err = segment.Scan(l.fsys, path, segment.ScanOptions{}, func(segment.Frame) error { return nil }); err != nil {
			return err
		}
		w, err = segment.OpenAppend(l.fsys, path, r, l.opts)
		l.appended = int(r.Frames)
		if err == nil {
			l.flushed, l.durable = l.appended, l.appended
		}
	}
	l.w, l.created = w, l.created || err == nil
	return err
}

func (l *life) append(n int) error {
	for range n {
		l.appended++
		if _, err := l.w.Append(kind(l.appended-1), payload(l.appended-1)); err != nil {
			return err
		}
	}
	return nil
}

func (l *life) flush() error {
	err := l.w.Flush()
	if err == nil {
		l.flushed = l.appended
	}
	return err
}

func (l *life) sync() error {
	err := l.w.Sync()
	if err == nil {
		l.flushed, l.durable = l.appended, l.appended
	}
	return err
}

func (l *life) seal() error {
	err := l.w.Seal()
	if err == nil {
		l.flushed, l.durable, l.sealed = l.appended, l.appended, true
	}
	return err
}

// plan is a run with groups of all kinds: small, above a sector, above the
// zeros written ahead, flushed and not synced, none at all.
func (l *life) plan() error {
	if err := l.open(); err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return l.append(1) }, l.sync,
		func() error { return l.append(3) }, l.sync, l.sync,
		func() error { return l.append(40) }, l.flush,
		func() error { return l.append(2) }, l.flush, l.sync,
		func() error { return l.append(9) }, l.flush,
		func() error { return l.append(1) }, l.seal,
		func() error { return l.w.Close() },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// random is a run of random steps.
func (l *life) random(rng *rand.Rand) error {
	err := l.open()
	for err == nil {
		switch rng.Intn(12) {
		case 0:
			return l.seal()
		case 1, 2, 3:
			err = l.sync()
		case 4, 5:
			err = l.flush()
		default:
			err = l.append(rng.Intn(1 + rng.Intn(30)))
		}
	}
	return err
}

// check reads the disk that a life left: at least so many frames are there, and
// no other than were appended.
func (l *life) check(t *testing.T, what string, m *vfs.Mem, least int) {
	t.Helper()
	r, n, err := scan(t, m, segment.ScanOptions{MustBeSealed: l.sealed})
	switch {
	case errors.Is(err, errNotExist):
		if l.created {
			t.Fatalf("%s: the file is gone", what)
		}
	case err != nil:
		t.Fatalf("%s: %v", what, err)
	case n < least || n > l.appended:
		t.Fatalf("%s: %d frames, want %d to %d", what, n, least, l.appended)
	case l.sealed && !r.Sealed:
		t.Fatalf("%s: not sealed", what)
	default:
		w, err := segment.OpenAppend(m, path, r, small)
		must(t, err)
		must(t, w.Close())
		if again := wantFrames(t, m.PowerLoss(nil), segment.ScanOptions{}, n); again.Torn != 0 || again.End != r.End {
			t.Fatalf("%s: %+v after opening, %+v before", what, again, r)
		}
	}
}

// Power is lost before each operation of a run, and each time the disk is found
// in many states.
func TestPowerLossAtEachOperation(t *testing.T) {
	for _, ahead := range []int{-1, 48, 256, 5000} { // 48 is the size of a seal
		t.Run(fmt.Sprint("zeros ahead ", ahead), func(t *testing.T) {
			powerLossAtEachOperation(t, segment.Options{Prewrite: ahead, SmallGroup: 512})
		})
	}
}

func powerLossAtEachOperation(t *testing.T, o segment.Options) {
	const seeds = 40
	for op := 0; ; op++ {
		m := newMem(t)
		l := life{fsys: vfs.NewFault(m, vfs.FailFrom(op, errCrash)), opts: o}
		err := l.plan()
		if err != nil && !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		for seed := range int64(seeds) {
			disk := m.PowerLoss(rand.New(rand.NewSource(seed)))
			l.check(t, fmt.Sprintf("operation %d, power loss with seed %d", op, seed), disk, l.durable)
		}
		l.check(t, fmt.Sprintf("operation %d, strictest power loss", op), m.PowerLoss(nil), l.durable)
		l.check(t, fmt.Sprintf("operation %d, kill", op), m.KillCopy(), l.flushed)
		if err == nil {
			return
		}
	}
}

// Several lives on one disk, each ended by a kill or a power loss at any
// operation, opening included.
func TestManyLives(t *testing.T) {
	for seed := range int64(600) {
		rng := rand.New(rand.NewSource(seed))
		m, durable, created := newMem(t), 0, false
		for n := range 6 {
			l := life{fsys: vfs.NewFault(m, vfs.FailFrom(rng.Intn(40), errCrash)), opts: small, durable: durable, created: created}
			l.appended = 1 << 20 // until the file is read
			if err := l.random(rng); err != nil && !errors.Is(err, errCrash) {
				t.Fatalf("seed %d, life %d: %v", seed, n, err)
			}
			what := fmt.Sprintf("seed %d, life %d", seed, n)
			if rng.Intn(3) == 0 {
				m = m.KillCopy()
			} else {
				m = m.PowerLoss(rng)
			}
			l.check(t, what, m.KillCopy(), l.durable)
			durable, created = l.durable, l.created
		}
	}
}

// Each operation of a run fails once: the error says of which file and why, the
// writer does nothing more, and what was durable is read.
func TestFailureOfEachOperation(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EMFILE, vfs.Short(11, syscall.ENOSPC)} {
		for op := 0; ; op++ {
			m := newMem(t)
			fault := vfs.NewFault(m, vfs.FailNth(op, cause))
			l := life{fsys: fault, opts: small}
			err := l.plan()
			if err == nil && fault.Count() <= op {
				break
			}
			what := fmt.Sprintf("operation %d: %v", op, cause)
			var number, want syscall.Errno
			if errors.As(cause, &want) && (!errors.As(err, &number) || number != want) && err != nil {
				t.Fatalf("%s: error %v", what, err)
			}
			if err != nil && !bytes.Contains([]byte(err.Error()), []byte(filepath.Base(path))) {
				t.Errorf("%s: error %v does not name the file", what, err)
			}
			if err != nil && l.w != nil && l.w.Err() != nil && !errors.Is(l.w.Err(), errClosed) {
				stays(t, what, fault, l.w)
			}
			l.check(t, what, m.KillCopy(), l.durable)
			l.check(t, what+", power loss", m.PowerLoss(nil), l.durable)
		}
	}
}

// stays checks that a failed writer is failed for good and touches no file.
func stays(t *testing.T, what string, fault *vfs.Fault, w *segment.Writer) {
	t.Helper()
	before := fault.Count()
	first := w.Err()
	_, err := w.Append(1, nil)
	for name, err := range map[string]error{"append": err, "flush": w.Flush(), "sync": w.Sync(), "seal": w.Seal()} {
		if err != first { //nolint:errorlint // the very error
			t.Errorf("%s: then %s: %v, want %v", what, name, err, first)
		}
	}
	if fault.Count() != before {
		t.Errorf("%s: the failed writer went on", what)
	}
	wantErr(t, what+": then close", w.Close(), first)
}

// A create that failed can be tried again.
func TestCreateAgain(t *testing.T) {
	for op := 0; ; op++ {
		fault := vfs.NewFault(newMem(t), vfs.FailNth(op, syscall.ENOSPC))
		w, err := segment.Create(fault, path, header, small)
		if err == nil && fault.Count() <= op {
			return
		}
		if err != nil {
			w, err = segment.Create(fault, path, header, small)
			must(t, err)
		}
		must(t, w.Close())
	}
}

// A disk that fills up keeps what was durable.
func TestFullDisk(t *testing.T) {
	for capacity := int64(0); capacity < 3000; capacity += 40 {
		m := newMem(t)
		m.SetCapacity(capacity)
		l := life{fsys: m, opts: small}
		err := l.plan()
		if err != nil {
			wantErr(t, fmt.Sprint("capacity ", capacity), err, syscall.ENOSPC)
		}
		l.check(t, fmt.Sprint("capacity ", capacity), m.KillCopy(), l.durable)
	}
}

// Power is lost while a seal is written that just fits into the file: it may be
// torn anywhere, and that is no damage.
func TestTornSeal(t *testing.T) {
	for _, ahead := range []int{40, 48, 56} {
		m := newMem(t)
		fault := vfs.NewFault(m, nil)
		l := life{fsys: fault, opts: segment.Options{Prewrite: ahead}}
		must(t, l.open())
		must(t, l.append(3))
		must(t, l.sync())
		syncs := fault.Count(vfs.OpSync)
		fault.SetHook(func(op vfs.Op, _ string) error {
			if op == vfs.OpSync && fault.Count(vfs.OpSync) == syncs+2 {
				return errCrash
			}
			return nil
		})
		wantErr(t, "seal", l.seal(), errCrash)
		for seed := range int64(3000) {
			l.check(t, fmt.Sprintf("%d zeros ahead, seed %d", ahead, seed), m.PowerLoss(rand.New(rand.NewSource(seed))), 3)
		}
	}
}
