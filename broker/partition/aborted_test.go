package partition

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// What is found between two offsets is what a look at all of them finds, before and
// after they went through a snapshot.
func TestAbortionsAgreeWithList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := New(7, new(Log), Settings{ProducerExpiry: 1})
		open := make(map[int64]int64) // first offsets
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			id := rapid.Int64Range(0, 5).Draw(t, "producer")
			first, isOpen := open[id]
			if !isOpen {
				open[id] = p.end
			} else if delete(open, id); rapid.Bool().Draw(t, "abort") {
				a := Aborted{Producer: id, First: first, Last: p.end, stable: p.end + 1}
				for _, other := range open {
					a.stable = min(a.stable, other)
				}
				p.aborted = append(p.aborted, a)
			}
			p.end++
		}
		all := slices.Clone(p.aborted)
		if rapid.Bool().Draw(t, "restore") {
			p = restored(t, p)
		}
		if start := rapid.Int64Range(0, p.end).Draw(t, "start"); rapid.Bool().Draw(t, "trim") {
			p.aborted.trim(start)
			all = slices.DeleteFunc(all, func(a Aborted) bool { return a.Last < start })
		}
		from := rapid.Int64Range(0, p.end).Draw(t, "from")
		to := rapid.Int64Range(from, p.end+1).Draw(t, "to")
		want := slices.DeleteFunc(slices.Clone(all), func(a Aborted) bool { return a.Last < from || a.First >= to })
		slices.SortFunc(want, func(a, b Aborted) int { return cmp.Compare(a.First, b.First) })
		if got := p.aborted.between(from, to); !slices.Equal(got, want) || !slices.Equal(p.aborted, all) {
			t.Fatalf("from %d to %d: %v, want %v", from, to, got, want)
		}
	})
}

// restored is the partition as its snapshot makes it.
func restored(t *rapid.T, p *Partition) *Partition {
	again := New(p.number, p.log, Settings{ProducerExpiry: 1})
	again.end = p.end
	err := p.aborted.snapshot(p.number, func(_ uint8, parts ...[]byte) error {
		_, rest, err := NumberOf(slices.Concat(parts...))
		if err != nil {
			return err
		}
		return Replay{again}.RestoreAborted(rest)
	})
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// No bytes make a panic, nor entries that cannot be.
func FuzzRestoreAborted(f *testing.F) {
	f.Add([]byte{7, 5, 3, 1})
	f.Add([]byte{7, 5, 3, 1, 8, 2, 1, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := New(1, new(Log), Settings{ProducerExpiry: 1})
		p.end = 100
		_ = Replay{p}.RestoreAborted(b) // what came before an error is looked at
		for _, a := range p.aborted {
			if a.First < 0 || a.First > a.Last || a.Last >= p.end || a.stable > a.Last+1 {
				t.Fatalf("%+v", a)
			}
		}
	})
}
