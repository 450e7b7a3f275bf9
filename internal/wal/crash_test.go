package wal

import (
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"syscall"
	"testing"

	"github.com/hapaxmq/hapax/internal/vfs"
)

var errCrash = errors.New("crash")

// life opens a shelf, appends records alone and several at a time, and closes it.
// It ends with the first failure. It returns how many records were appended and how
// many of them are sure.
func life(fsys vfs.FS, keep, rounds int) (appended, acked uint64, err error) {
	s, err := openShelf(fsys, Options{MaxBuffered: 1500}, keep)
	if err != nil {
		return 0, 0, err
	}
	acked = s.n
	for i := range rounds {
		for range i % 5 * 4 {
			if _, _, err = s.add(); err != nil {
				break
			}
		}
		if err == nil {
			err = s.addSynced()
		}
		if err != nil {
			break
		}
		if i%3 > 0 {
			s.rest()
		}
	}
	acked = max(acked, s.acked.Load())
	if closed := s.log.Close(); err == nil {
		if err = closed; err == nil {
			acked = s.n
		}
	}
	return s.n + 1, acked, err // the last one may have failed behind its Append
}

// Power is lost, or the process killed, before each operation that changes the disk.
func TestCrashAtEachOperation(t *testing.T) {
	t.Parallel()
	for _, keep := range []int{0, 25, 1000} {
		t.Run(fmt.Sprint("of the last ", keep), func(t *testing.T) {
			t.Parallel()
			for op := 0; ; op++ {
				m := vfs.NewMem()
				appended, acked, err := life(vfs.NewFault(m, vfs.FailFrom(op, errCrash, changes()...)), keep, 12)
				if err != nil && !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
				what := fmt.Sprintf("operation %d", op)
				for seed := range int64(4) {
					wantShelf(t, fmt.Sprint(what, ", power loss with seed ", seed), m.PowerLoss(rand.New(rand.NewSource(seed))), keep, acked, appended)
				}
				wantShelf(t, what+", strictest power loss", m.PowerLoss(nil), keep, acked, appended)
				wantShelf(t, what+", kill", m.KillCopy(), keep, acked, appended)
				if err == nil {
					return
				}
			}
		})
	}
}

func changes() (ops []vfs.Op) {
	for op := vfs.Op(0); op <= vfs.OpClose; op++ {
		if op.Changes() {
			ops = append(ops, op)
		}
	}
	return ops
}

// left is a disk as a kill leaves it while much is not synced.
func left(t *testing.T, keep int) (disk *vfs.Mem, acked, n uint64) {
	t.Helper()
	m := vfs.NewMem()
	s, err := openShelf(m, Options{}, keep)
	must(t, err)
	for range 40 {
		must(t, s.addSynced())
		s.rest()
	}
	for range 8 {
		_, _, err := s.add()
		must(t, err)
	}
	must(t, s.log.r.Flush(s.log.End()))
	disk = m.KillCopy()
	must(t, s.log.Close())
	return disk, s.acked.Load(), s.n
}

// Opening is killed at each operation, and again: who comes at last finds the same.
func TestKillWhileOpening(t *testing.T) {
	for _, keep := range []int{0, 10, 1000} {
		disk, acked, n := left(t, keep)
		for op := 0; ; op++ {
			m := disk.KillCopy()
			s, err := openShelf(vfs.NewFault(m, vfs.FailFrom(op, errCrash, changes()...)), Options{}, keep)
			what := fmt.Sprintf("keep %d, operation %d", keep, op)
			wantShelf(t, what+", kill", m.KillCopy(), keep, n, n)
			for seed := range int64(3) {
				lost := m.PowerLoss(rand.New(rand.NewSource(seed)))
				least := acked
				if err == nil {
					least = n
				}
				wantShelf(t, fmt.Sprintf("%s, power loss with seed %d", what, seed), lost, keep, least, n)
			}
			for second := op % 5; second < 25; second += 5 {
				again := m.KillCopy()
				if s, err := openShelf(vfs.NewFault(again, vfs.FailFrom(second, errCrash, changes()...)), Options{}, keep); err == nil {
					_ = s.log.Close()
				}
				wantShelf(t, fmt.Sprintf("%s, then %d", what, second), again.KillCopy(), keep, n, n)
				lost := again.PowerLoss(rand.New(rand.NewSource(int64(op))))
				wantShelf(t, fmt.Sprintf("%s, then %d, power loss", what, second), lost, keep, acked, n)
			}
			if err == nil {
				_ = s.log.Close()
				break
			}
		}
	}
}

// Lives follow each other on one disk, each ended by a kill or a power loss.
func TestManyLives(t *testing.T) {
	for seed := range int64(60) {
		rng := rand.New(rand.NewSource(seed))
		m, keep, least := vfs.NewMem(), rng.Intn(60), uint64(0)
		for n := range 6 {
			fault := vfs.NewFault(m, vfs.FailFrom(rng.Intn(120), errCrash, changes()...))
			appended, acked, err := life(fault, keep, 14)
			what := fmt.Sprintf("seed %d, life %d", seed, n)
			if err != nil && !errors.Is(err, errCrash) {
				t.Fatalf("%s: %v", what, err)
			}
			if least = max(least, acked); appended == 0 {
				appended = 1 << 20 // it was not opened
			}
			if m = m.PowerLoss(rng); rng.Intn(3) == 0 {
				m = m.KillCopy()
			}
			least = wantShelf(t, what, m.KillCopy(), keep, least, appended)
			if s, err := openShelf(m, Options{}, keep); err != nil {
				t.Fatal(err)
			} else {
				must(t, s.log.Close())
			}
		}
	}
}

// Each operation fails once: the log is read-only from then on or goes on, says why,
// and what was acknowledged is there, now and after it is opened again.
func TestFailureOfEachOperation(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO, vfs.Short(11, syscall.ENOSPC)} {
		for op := 0; ; op++ {
			m := vfs.NewMem()
			fault := vfs.NewFault(m, vfs.FailNth(op, cause))
			appended, acked, err := life(fault, 30, 12)
			var number, want syscall.Errno
			if errors.As(cause, &want); err != nil && (!errors.As(err, &number) || number != want) {
				t.Fatalf("operation %d: %v, want %v", op, err, want)
			}
			wantShelf(t, fmt.Sprintf("operation %d: %v", op, cause), m.KillCopy(), 30, acked, max(appended, 1))
			if err == nil && fault.Count() <= op {
				break
			}
		}
	}
}

// A log that failed says so, takes nothing, tells the committer, and shows what was
// durable.
func TestReadOnly(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem(), nil)
	var told sync.WaitGroup
	told.Add(1)
	s, err := openShelf(fault, Options{Committed: func(_ int64, err error) {
		if errors.Is(err, ErrReadOnly) && errors.Is(err, syscall.EIO) {
			told.Done()
		}
	}}, 1000)
	must(t, err)
	for range 40 {
		must(t, s.addSynced())
	}
	s.rest() // what the background syncs is not to fail
	sure := s.standing()
	fault.SetHook(vfs.FailNth(0, syscall.EIO, vfs.OpSync))
	_, end, err := s.add()
	must(t, err)
	s.log.Want(end)
	told.Wait()
	for range 2 {
		if err := s.log.Sync(end); !errors.Is(err, ErrReadOnly) || !errors.Is(err, syscall.EIO) {
			t.Errorf("sync: %v", err)
		}
		if _, _, err := s.add(); !errors.Is(err, ErrReadOnly) {
			t.Errorf("append: %v", err)
		}
	}
	for _, p := range sure {
		must(t, s.shown(p))
	}
	if err := s.log.Close(); !errors.Is(err, ErrReadOnly) {
		t.Errorf("close: %v", err)
	}
}

// A disk that fills up is a clear error, keeps what was acknowledged, and with room
// made the log goes on.
func TestFullDisk(t *testing.T) {
	for capacity := int64(1000); capacity < 20000; capacity += 300 {
		m := vfs.NewMem()
		m.SetCapacity(capacity)
		appended, acked, err := life(m, 1000, 12)
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		m.SetCapacity(0)
		wantShelf(t, fmt.Sprint("capacity ", capacity), m.KillCopy(), 1000, acked, max(appended, 1))
	}
}

// Callers append beside each other while files are begun and removed; a crash at any
// moment keeps what was acknowledged by then.
func TestCrashBesideCallers(t *testing.T) {
	type image struct {
		disk  *vfs.Mem
		acked uint64
		what  string
	}
	for seed := range int64(4) {
		mem, rng := vfs.NewMem(), rand.New(rand.NewSource(seed))
		fault := vfs.NewFault(mem, nil)
		s, err := openShelf(fault, Options{}, int(seed)*20)
		must(t, err)
		var mu sync.Mutex
		var images []image
		fault.SetHook(func(op vfs.Op, name string) error {
			mu.Lock()
			defer mu.Unlock()
			if !op.Changes() || rng.Intn(8) > 0 {
				return nil
			}
			i := image{acked: s.acked.Load(), what: fmt.Sprintf("seed %d, crash before %v %s", seed, op, name)}
			if i.disk = mem.PowerLoss(rng); rng.Intn(3) == 0 {
				i.disk = mem.KillCopy()
			}
			images = append(images, i)
			return nil
		})
		var calling sync.WaitGroup
		for range 4 {
			calling.Go(func() {
				for k := range 60 {
					if err := s.addSynced(); err != nil {
						t.Error(err)
						return
					}
					if k%5 == 0 {
						s.rest()
					}
				}
			})
		}
		calling.Wait()
		must(t, s.log.Close())
		fault.SetHook(nil)
		if s.log.Newest() < 3 {
			t.Errorf("%d files", s.log.Newest())
		}
		for _, i := range images {
			wantShelf(t, i.what, i.disk, s.keep, i.acked, s.n)
		}
	}
}
