package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// benched is a log on the system's disk, which holds nothing to be remembered.
func benched(b *testing.B, o Options) *Log {
	b.Helper()
	o.Kind, o.Snapshot = testKind, func(Add) error { return nil }
	l, err := Open(nil, b.TempDir(), o, func(Frame) error { return nil })
	must(b, err)
	return l
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
				l := benched(b, Options{})
				frame := make([]byte, size)
				b.SetBytes(int64(size))
				b.ResetTimer()
				each(b, callers, func(int) error {
					p, err := l.Append(1, frame)
					if err == nil {
						err = l.Sync(p.End)
					}
					return err
				})
				b.StopTimer()
				must(b, l.Close())
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
			l := benched(b, Options{Committed: func(end int64, _ error) {
				mu.Lock()
				synced = end
				mu.Unlock()
				told.Broadcast()
			}})
			frame := make([]byte, 200)
			b.ResetTimer()
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
			b.StopTimer()
			must(b, l.Close())
		})
	}
}

// BenchmarkAppend appends only; now and then somebody wants it synced.
func BenchmarkAppend(b *testing.B) {
	l := benched(b, Options{})
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
	must(b, l.Close())
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
