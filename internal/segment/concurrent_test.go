package segment_test

import (
	"encoding/binary"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// Appends go on while groups are written, synced and read: all frames are where
// Append said, and what Synced said is durable.
func TestAppendDuringSync(t *testing.T) {
	const writers, each = 4, 500
	m := newMem(t)
	w := create(t, m, small)
	var at [writers][each]int64
	var appending, syncing sync.WaitGroup
	var done atomic.Bool
	for n := range writers {
		appending.Go(func() {
			var b [12]byte
			for i := range each {
				binary.LittleEndian.PutUint32(b[:], uint32(n))
				binary.LittleEndian.PutUint32(b[8:], uint32(i))
				var err error
				if at[n][i], err = w.Append(1, b[:4], b[4:]); err != nil {
					t.Error(err)
				}
				if i%50 == 0 { // somebody who cannot wait
					if err := w.Flush(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	syncing.Go(func() {
		last := int64(0)
		for stop := false; !stop; {
			stop = done.Load()
			size := w.Size()
			if err := w.Sync(); err != nil {
				t.Error(err)
			}
			synced := w.Synced()
			if synced < size || synced < last || w.Flushed() < synced || w.Size() < synced {
				t.Errorf("synced %d after %d, size was %d", synced, last, size)
			}
			last = synced
			r, err := segment.Scan(m.PowerLoss(nil), path, segment.ScanOptions{}, func(segment.Frame) error { return nil })
			if err != nil || r.End < synced {
				t.Errorf("after power loss frames end at %d, synced %d: %v", r.End, synced, err)
			}
		}
	})
	appending.Wait()
	done.Store(true)
	syncing.Wait()
	must(t, w.Seal())

	for n := range writers {
		for i := range each {
			f, err := w.FrameAt(at[n][i], nil)
			must(t, err)
			if binary.LittleEndian.Uint32(f.Payload) != uint32(n) || binary.LittleEndian.Uint32(f.Payload[8:]) != uint32(i) {
				t.Fatalf("frame %d of writer %d holds %x", i, n, f.Payload)
			}
		}
	}
	r, err := segment.Scan(m, path, segment.ScanOptions{MustBeSealed: true}, func(segment.Frame) error { return nil })
	if err != nil || r.Frames != writers*each {
		t.Errorf("%d frames: %v", r.Frames, err)
	}
}

// FuzzScan changes a file in one place and cuts it. Whatever comes, frames that
// are read are the first ones that were written, and a file without damage can
// be gone on with.
func FuzzScan(f *testing.F) {
	m := newMem(f)
	w := create(f, m, small)
	for i := 0; i < 12; i += 3 {
		appendFrames(f, w, i, i+3)
		must(f, w.Sync())
	}
	open := content(f, m)
	must(f, w.Seal())
	sealed := content(f, m)
	f.Add(false, uint16(0), []byte{}, uint16(0))
	f.Add(true, uint16(0), []byte{}, uint16(0))
	f.Add(true, uint16(200), []byte{1, 2, 3}, uint16(0))
	f.Add(false, uint16(500), []byte("something else"), uint16(100))
	f.Add(false, uint16(12), []byte{0xff}, uint16(600))
	f.Fuzz(func(t *testing.T, seal bool, at uint16, change []byte, cut uint16) {
		b := append([]byte(nil), open...)
		if seal {
			b = append([]byte(nil), sealed...)
		}
		b = b[:max(0, len(b)-int(cut))]
		if int(at) <= len(b) && len(change) < 1<<16 {
			b = append(b[:at], append(append([]byte(nil), change...), b[min(len(b), int(at)+len(change)):]...)...)
		}
		r, n, err := scan(t, disk(t, b), segment.ScanOptions{})
		if err == nil {
			if r.Sealed && r.Size != r.End+48 {
				t.Errorf("sealed: %+v", r)
			}
			reopen(t, b, r, n)
		}
	})
}

func BenchmarkAppendFlush(b *testing.B) {
	const size = 16 << 10
	w, err := segment.Create(vfs.OS(), filepath.Join(b.TempDir(), "a"), header, segment.Options{})
	must(b, err)
	frame := make([]byte, size)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		_, err := w.Append(1, frame)
		must(b, err)
		must(b, w.Flush())
	}
	must(b, w.Close())
}

func BenchmarkAppendSync(b *testing.B) {
	const size = 512
	w, err := segment.Create(vfs.OS(), filepath.Join(b.TempDir(), "a"), header, segment.Options{})
	must(b, err)
	frame := make([]byte, size)
	b.ReportAllocs()
	for b.Loop() {
		_, err := w.Append(1, frame)
		must(b, err)
		must(b, w.Sync())
	}
	must(b, w.Close())
}

func BenchmarkScan(b *testing.B) {
	for name, size := range map[string]int{"16KiB": 16 << 10, "64B": 64} {
		b.Run(name, func(b *testing.B) {
			const total = 64 << 20
			path := filepath.Join(b.TempDir(), "a")
			w, err := segment.Create(vfs.OS(), path, header, segment.Options{})
			must(b, err)
			frame := make([]byte, size)
			for w.Size() < total {
				_, err := w.Append(1, frame)
				must(b, err)
				if w.Buffered() > 1<<20 {
					must(b, w.Flush())
				}
			}
			must(b, w.Seal())
			b.SetBytes(w.Size())
			b.ReportAllocs()
			for b.Loop() {
				_, err := segment.Scan(vfs.OS(), path, segment.ScanOptions{MustBeSealed: true}, func(segment.Frame) error { return nil })
				must(b, err)
			}
			must(b, w.Close())
		})
	}
}
