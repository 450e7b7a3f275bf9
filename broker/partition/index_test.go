package partition

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The index answers as a list of all extents does.
func TestIndexAgreesWithList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x index
		var all []Extent
		next := int64(0)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			for range rapid.IntRange(0, 200).Draw(t, "appends") {
				n := rapid.Int64Range(1, 5).Draw(t, "records")
				next += rapid.Int64Range(0, 1).Draw(t, "gap")
				e := Extent{Base: next, Last: next + n - 1, MaxTime: rapid.Int64Range(0, 50).Draw(t, "time"), At: next}
				next += n
				x.append(e)
				all = append(all, e)
			}
			if rapid.IntRange(0, 3).Draw(t, "trim") == 0 {
				start := rapid.Int64Range(0, next+2).Draw(t, "start")
				x.trim(start)
				all = slices.DeleteFunc(all, func(e Extent) bool { return e.Last < start })
			}
			offset := rapid.Int64Range(0, next+2).Draw(t, "offset")
			var got []Extent
			x.from(offset, func(e Extent) bool { got = append(got, e); return len(got) < 30 })
			from := slices.IndexFunc(all, func(e Extent) bool { return e.Last >= offset })
			var want []Extent
			if from >= 0 {
				want = all[from:min(len(all), from+30)]
			}
			if !slices.Equal(got, want) || x.count != len(all) {
				t.Fatalf("from %d: %v of %d, want %v of %d", offset, got, x.count, want, len(all))
			}
			checkTimes(t, &x, all)
			if e, ok := x.oldest(); ok != (len(all) > 0) || ok && e != all[0] {
				t.Fatalf("oldest: %v", e)
			}
		}
	})
}

func checkTimes(t *rapid.T, x *index, all []Extent) {
	at := rapid.Int64Range(0, 55).Draw(t, "since")
	i := slices.IndexFunc(all, func(e Extent) bool { return e.MaxTime >= at })
	if e, ok := x.since(at); ok != (i >= 0) || ok && e != all[i] {
		t.Fatalf("since %d: %v %t, want %d", at, e, ok, i)
	}
}
