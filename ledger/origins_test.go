package ledger

import (
	"context"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// origins are the first copies by what the log holds.
func (f *follower) origins() map[int]Origin {
	first := make(map[int]Origin)
	for _, r := range f.log.appended {
		for i, k := range r.keys {
			if _, ok := first[k]; !ok {
				first[k] = Origin{First: r.at, Position: hapax.Position{Source: r.source, Offset: r.from + int64(i)}}
			}
		}
	}
	return first
}

// judgeOrigins finds keys, inside a step or outside.
func (f *follower) judgeOrigins(o *Origins, s *Step, keys []int, want map[int]Origin) {
	f.t.Helper()
	h := f.l.Hasher("")
	got := make([]Origin, len(keys))
	for i, k := range keys {
		got[i].Fingerprint = h.Fingerprint(fmt.Append(nil, k))
	}
	if err := o.Find(s, got); err != nil {
		f.t.Fatal(err)
	}
	for i, k := range keys {
		if w := want[k]; got[i].Position != w.Position || !got[i].First.Equal(w.First) {
			f.t.Fatalf("key %d of %d: first at %v, %v; want %v, %v", k, len(keys), got[i].Position, got[i].First, w.Position, w.First)
		}
	}
}

// First copies are found wherever they are: in the table's files, the log's newest,
// in memory, in an image's, and in the step itself.
func TestOrigins(t *testing.T) {
	for seed := range uint64(20) {
		f := newFollower(t, seed, Options{
			Window: hapax.Window{Time: 1000 * time.Hour}, Details: seed%2 == 0, Digests: seed%3 == 0, QuickStart: 1 - int64(seed%4),
		})
		o := NewOrigins(f.l)
		for range 80 {
			f.pass(time.Duration(f.r.Intn(5)) * time.Hour)
			switch n := f.r.Intn(24); {
			case n < 14:
				f.some()
			case n < 16:
				rolled(t, f.l, (*journal).rollNow)
			case n < 17:
				if err := f.l.Close(); err != nil {
					t.Fatal(err)
				}
				f.open()
				o = NewOrigins(f.l)
			case n < 18:
				f.disk = f.disk.KillCopy()
				_ = f.l.Close() // its disk is another one from here on
				f.open()
				o = NewOrigins(f.l)
			default:
				keys := make([]int, f.r.Intn(60))
				for i := range keys {
					keys[i] = f.r.Intn(2000)
				}
				f.judgeOrigins(o, nil, keys, f.origins())
			}
		}
		all := make([]int, 2000)
		for i := range all {
			all[i] = i
		}
		want := f.origins()
		f.judgeOrigins(o, nil, all, want)
		f.step("a", f.next["a"], []int{5000, 3, 5000}, f.now, func(b *Batch) {
			for i, k := range []int{5000, 3} {
				if _, ok := want[k]; !ok {
					want[k] = Origin{First: f.now, Position: hapax.Position{Source: "a", Offset: b.Entries[i].Offset}}
				}
			}
		})
		f.l.mu.Lock() // as in a step
		f.judgeOrigins(o, &Step{l: f.l}, []int{3, 5000, 5001, 3}, want)
		f.l.mu.Unlock()
		if err := f.l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A step finds what it admits itself.
func TestOriginsInStep(t *testing.T) {
	f := newFollower(t, 1, Options{Window: hapax.Window{Time: time.Hour}})
	f.step("b", 10, []int{1, 2}, f.now, nil)
	h := f.l.Hasher("")
	b := &Batch{Source: "a", Through: 2}
	for i, k := range []int{7, 1, 7} {
		b.Entries = append(b.Entries, Entry{Fingerprint: h.Fingerprint(fmt.Append(nil, k)), Offset: int64(i)})
	}
	s, err := f.l.Begin(f.now.Add(time.Second), b)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Admit(); err != nil {
		t.Fatal(err)
	}
	f.judgeOrigins(NewOrigins(f.l), s, []int{1, 7, 9}, map[int]Origin{
		1: {First: f.now, Position: hapax.Position{Source: "b", Offset: 10}},
		7: {First: f.now.Add(time.Second), Position: hapax.Position{Source: "a", Offset: 0}},
	})
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	o := NewOrigins(f.l)
	o.MaxRead = 1
	f.judgeOrigins(o, nil, []int{9}, nil)
	f.judgeOrigins(NewOrigins(f.l), nil, []int{2, 2}, map[int]Origin{2: {First: f.now, Position: hapax.Position{Source: "b", Offset: 11}}})
	if err := f.l.Close(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkOrigins finds first copies a thousand at a time, among two million of
// which each slice of the window has a hundredth.
func BenchmarkOrigins(b *testing.B) {
	const n, size = 2_000_000, 1000
	now := time.Unix(1e9, 0)
	l := open(b, b.TempDir(), Options{
		Window: hapax.Window{Time: 128 * time.Second}, Details: true, Digests: true, Follows: func() error { return nil }, Clock: func() time.Time { return now }, FS: vfs.OS(),
	})
	h := l.Hasher("")
	keys := make([]hapax.Fingerprint, n)
	for from := 0; from < n; from += size {
		batch := &Batch{Source: "0", Through: int64(from + size - 1)}
		for i := from; i < from+size; i++ {
			keys[i] = h.Fingerprint(fmt.Append(nil, i))
			batch.Entries = append(batch.Entries, Entry{Fingerprint: keys[i], Offset: int64(i)})
		}
		takeStep(b, l, now, batch)
		now = now.Add(100 * time.Second / (n / size))
	}
	if err := l.Sync(context.Background()); err != nil {
		b.Fatal(err)
	}
	for _, bench := range []struct {
		name string
		pick func(i int) int
	}{
		{"range", func(i int) int { return i % n }},
		{"slice", func(i int) int { return i/size%100*(n/100) + rand.Intn(n/100) }},
		{"random", func(int) int { return rand.Intn(n) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			o := NewOrigins(l)
			origins := make([]Origin, size)
			for i := 0; b.Loop(); i += size {
				for j := range origins {
					origins[j].Fingerprint = keys[bench.pick(i+j)]
				}
				if err := o.Find(nil, origins); err != nil {
					b.Fatal(err)
				}
				for _, found := range origins {
					if found.Position.Source != "0" {
						b.Fatal(found)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/size, "ns/id")
		})
	}
}
