package partition

import (
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// indexModel is all extents in a list.
type indexModel struct {
	x    index
	all  []Extent
	next int64
	file uint64
}

func (m *indexModel) append(t *rapid.T) {
	for range rapid.IntRange(0, 200).Draw(t, "appends") {
		if rapid.IntRange(0, 60).Draw(t, "roll") == 0 {
			m.file++
		}
		n := rapid.Int64Range(1, 5).Draw(t, "records")
		time := rapid.OneOf(rapid.Int64Range(-1, 50), rapid.Just(int64(math.MaxInt64/2))).Draw(t, "time")
		e := Extent{
			Base: m.next, Last: m.next + n - 1, MaxTime: time, At: 7 * m.next, File: m.file,
			Length: rapid.Int32Range(1, 2*smallExtent).Draw(t, "length"),
		}
		m.next += n
		m.x.append(e)
		m.all = append(m.all, e)
	}
}

// replace puts a run, or nothing, in the place of some extents.
func (m *indexModel) replace(t *rapid.T) {
	if len(m.all) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.all)-1).Draw(t, "first")
	j := rapid.IntRange(i, len(m.all)-1).Draw(t, "last")
	from, to := m.all[i].Base, m.all[j].Last+1
	run := Extent{Base: from, Last: m.all[j].Last, MaxTime: m.all[i].MaxTime, At: rapid.Int64Range(0, 1<<40).Draw(t, "at"), File: m.file + 1, Run: true}
	if rapid.Bool().Draw(t, "kept") {
		run.Length = rapid.Int32Range(1, 2*smallExtent).Draw(t, "length")
		m.all = slices.Replace(m.all, i, j+1, run)
	} else {
		m.all = slices.Delete(m.all, i, j+1)
	}
	m.x.replace(from, to, run)
}

func (m *indexModel) trim(t *rapid.T) {
	start := rapid.Int64Range(0, m.next+2).Draw(t, "start")
	m.x.trim(start)
	m.all = slices.DeleteFunc(m.all, func(e Extent) bool { return e.Last < start })
}

// without leaves out where extents begin, which is behind the one before.
func without(all []Extent) []Extent {
	all = slices.Clone(all)
	for i := range all {
		all[i].Base = 0
	}
	return all
}

// The index answers as a list of all extents does.
func TestIndexAgreesWithList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m indexModel
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			m.append(t)
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				m.trim(t)
			case 1:
				m.replace(t)
			}
			m.check(t)
		}
	})
}

func (m *indexModel) check(t *rapid.T) {
	offset := rapid.Int64Range(0, m.next+2).Draw(t, "offset")
	var got []Extent
	m.x.from(offset, func(e Extent) bool {
		if e.Base > e.Last || len(got) > 0 && e.Base <= got[len(got)-1].Last {
			t.Fatalf("%+v behind %+v", e, got)
		}
		got = append(got, e)
		return len(got) < 30
	})
	from := slices.IndexFunc(m.all, func(e Extent) bool { return e.Last >= offset })
	var want []Extent
	if from >= 0 {
		want = m.all[from:min(len(m.all), from+30)]
	}
	if !slices.Equal(without(got), without(want)) {
		t.Fatalf("from %d: %+v\nwant %+v", offset, got, want)
	}
	time := rapid.Int64Range(-1, 60).Draw(t, "time")
	e, ok := m.x.since(offset, time)
	i := slices.IndexFunc(m.all, func(e Extent) bool { return e.Last >= offset && e.MaxTime >= time })
	if ok != (i >= 0) || ok && e.Last != m.all[i].Last {
		t.Fatalf("since %d from %d on: %+v, want extent %d of %+v", time, offset, e, i, m.all)
	}
	bytes, live, files := int64(0), make(map[uint64]int64), make(map[uint64]int64)
	for _, e := range m.all {
		bytes += int64(e.Length)
		files[e.File] += int64(e.Length)
	}
	m.x.live(live)
	if bytes != m.x.bytes || len(m.all) != m.x.count || !maps.Equal(files, live) {
		t.Fatalf("%d extents of %d bytes in %v, want %d of %d in %v", m.x.count, m.x.bytes, live, len(m.all), bytes, files)
	}
	for _, b := range m.x.blocks {
		small := 0
		for i := range b.entries {
			if b.extent(i).Length < smallExtent {
				small++
			}
		}
		if small != b.small || len(b.entries) == 0 {
			t.Fatalf("%d small extents of %d, want %d", b.small, len(b.entries), small)
		}
	}
}
