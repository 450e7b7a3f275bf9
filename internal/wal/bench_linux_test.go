package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// benched is a log on the system's disk, which holds nothing to be remembered. When
// it is closed, it reports how many frames a sync took.
func benched(b *testing.B, o Options) (l *Log, finish func()) {
	b.Helper()
	o.Kind, o.Snapshot = testKind, func(Add) error { return nil }
	fault := vfs.NewFault(vfs.OS(), nil)
	l, err := Open(fault, b.TempDir(), o, func(Frame) error { return nil })
	must(b, err)
	before := fault.Count(vfs.OpSync)
	b.ResetTimer()
	return l, func() {
		b.StopTimer()
		b.ReportMetric(float64(b.N)/float64(max(fault.Count(vfs.OpSync)-before, 1)), "frames/sync")
		must(b, l.Close())
	}
}

// each has so many callers do b.N in all.
func each(b *testing.B, callers int, do func(caller int) error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(caller); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkSync appends, each caller waiting until its frame is durable.
func BenchmarkSync(b *testing.B) {
	for _, size := range []int{200, 1 << 20} {
		for _, callers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%dB/%d", size, callers), func(b *testing.B) {
				frame := make([]byte, size)
				b.SetBytes(int64(size))
				l, finish := benched(b, Options{})
				each(b, callers, func(int) error {
					p, err := l.Append(1, frame)
					if err == nil {
						err = l.Sync(p.End)
					}
					return err
				})
				finish()
			})
		}
	}
}

// BenchmarkWant is BenchmarkSync by the committer: each caller waits to be told.
func BenchmarkWant(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("200B/%d", callers), func(b *testing.B) {
			var mu sync.Mutex
			told := sync.NewCond(&mu)
			synced := int64(0)
			l, finish := benched(b, Options{Committed: func(end int64, _ error) {
				mu.Lock()
				synced = end
				mu.Unlock()
				told.Broadcast()
			}})
			frame := make([]byte, 200)
			each(b, callers, func(int) error {
				p, err := l.Append(1, frame)
				l.Want(p.End)
				mu.Lock()
				for synced < p.End {
					told.Wait()
				}
				mu.Unlock()
				return err
			})
			finish()
		})
	}
}

// BenchmarkAppend appends only; now and then somebody wants it synced.
func BenchmarkAppend(b *testing.B) {
	l, finish := benched(b, Options{})
	frame := make([]byte, 200)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		p, err := l.Append(1, frame)
		must(b, err)
		if n++; n%1000 == 0 {
			l.Want(p.End)
		}
	}
	finish()
}

// BenchmarkBare is a loop of write and fdatasync: over a file that was written
// before (ahead) and at the end of one that grows.
func BenchmarkBare(b *testing.B) {
	for _, ahead := range []bool{true, false} {
		for _, size := range []int{224, 16 * 224, 64 * 224, 1<<20 + 24} {
			b.Run(fmt.Sprintf("ahead=%t/%dB", ahead, size), func(b *testing.B) {
				f, err := os.Create(filepath.Join(b.TempDir(), "a"))
				must(b, err)
				const length = 128 << 20
				if ahead {
					zeros := make([]byte, 1<<20)
					for at := int64(0); at < length; at += int64(len(zeros)) {
						_, err := f.WriteAt(zeros, at)
						must(b, err)
					}
					must(b, f.Sync())
				}
				group := make([]byte, size)
				b.SetBytes(int64(size))
				at := int64(0)
				for b.Loop() {
					_, err := f.WriteAt(group, at)
					must(b, err)
					must(b, unix.Fdatasync(int(f.Fd())))
					if at += int64(size); ahead && at+int64(size) > length {
						at = 0
					}
				}
				must(b, f.Close())
			})
		}
	}
}

// kill ends a log as the end of its process does.
func (l *Log) kill() {
	close(l.stop)
	l.rolling.Wait()
	close(l.stopSync)
	l.syncing.Wait()
	_ = l.w.Abandon() // it was only killed
	l.files.closeAll()
}

// BenchmarkOpen opens a log of 1 GiB in frames of 1 KiB, all needed, after a clean
// close and after a kill when the newest file is nearly full.
func BenchmarkOpen(b *testing.B) {
	for _, killed := range []bool{false, true} {
		b.Run(fmt.Sprintf("killed=%t", killed), func(b *testing.B) {
			dir, frame := b.TempDir(), make([]byte, 1000)
			o := Options{Kind: testKind, Snapshot: func(Add) error { return nil }, Needed: allNeeded}
			open := func() (l *Log, replayed int) {
				l, err := Open(nil, dir, o, func(Frame) error { replayed++; return nil })
				must(b, err)
				return l, replayed
			}
			fill := func(l *Log, size int64) {
				for begin := l.End(); l.End() < begin+size; {
					_, err := l.Append(1, frame)
					must(b, err)
				}
				must(b, l.Sync(l.End()))
			}
			l, _ := open()
			fill(l, 900<<20)
			must(b, l.Close())
			for b.Loop() {
				b.StopTimer()
				if killed {
					l, _ = open()
					fill(l, 124<<20)
					l.kill()
				}
				b.StartTimer()
				l, replayed := open()
				b.StopTimer()
				b.ReportMetric(float64(replayed), "frames")
				must(b, l.Close())
				b.StartTimer()
			}
		})
	}
}

// allNeeded keeps all files that a benchmark may make.
func allNeeded() map[uint64]int64 {
	all := make(map[uint64]int64)
	for number := range uint64(1 << 12) {
		all[number] = 1
	}
	return all
}
