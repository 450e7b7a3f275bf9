package window

import (
	"math"
	"slices"

	"github.com/hapaxmq/hapax"
)

// Former tells of the time before the bounds of a window last changed. The zero
// value is of a window whose bounds never did.
type Former struct {
	// Newest is the generation begun last by then: those begun later know nothing
	// of other bounds.
	Newest uint64 `json:"newest"`
	// Live are the generations up to Newest that the change left, as runs of IDs:
	// the first and the last of each. What others held is gone, whatever the
	// bounds are by now.
	Live [][2]uint64 `json:"live"`
	// Ends are the ends of those that had none while time bounded nothing, by their
	// IDs: when the next began, or the bounds changed.
	Ends map[uint64]int64 `json:"ends,omitempty"`
}

// holds tells whether a generation did not go before the change.
func (f *Former) holds(id uint64) bool {
	if id > f.Newest {
		return true
	}
	for _, run := range f.Live {
		if run[0] <= id && id <= run[1] {
			return true
		}
	}
	return false
}

// end is where the slice of a generation ends that had this end when it was written
// down.
func (f *Former) end(id uint64, end int64) int64 {
	if lent, ok := f.Ends[id]; ok && end == math.MaxInt64 {
		return lent
	}
	return end
}

// GoOn is for generations of which none has been restored: they go on from where a
// change of the bounds left them.
func (g *Generations) GoOn(f Former) {
	g.former = f
	g.SkipTo(f.Newest)
}

// Gone tells whether a generation of that ID and end has left the window by time, or
// by bounds that are not in force any more.
func (g *Generations) Gone(id uint64, end int64) bool {
	return !g.former.holds(id) || g.Ended(g.former.end(id, end))
}

// Rebound changes the bounds to those of w, a window of the same kind, which is not
// tumbling; by event time they are the same ones with other numbers. It returns the
// generations that end by that, and what is to be known when the rest are restored:
// what has left stays away, even where a longer window would cover it.
//
// The generations that stay keep their slices, so what is in them leaves at most the
// width of such a slice after the window in force ended for it. Where time bounds
// what it did not bound before, a slice ends where the next begins, and the last one
// at the watermark, which must be the time. What was not counted before counts as
// none. What arrives from now on comes into generations of its own; so do events, but
// for those whose time lies in a slice that stays.
func (g *Generations) Rebound(w hapax.Window) (gone []*Generation, f Former) {
	watermark, timed := g.watermark, g.width != 0
	g.Reach = newReach(w, 0)
	g.watermark = watermark
	g.cut = cutOf(w)
	if g.width != 0 {
		if f.Ends = g.former.Ends; !timed {
			f.Ends = g.lendEnds(g.watermark)
		}
	}
	gone = g.expire(false, func(i int, gen *Generation) bool {
		return g.Ended(gen.End) || (g.count != 0 || g.bytes != 0) && g.passed(i, gen)
	})
	f.Newest = g.newest
	ends := make(map[uint64]int64)
	for _, id := range idsOf(g.list) {
		if n := len(f.Live); n > 0 && f.Live[n-1][1]+1 == id {
			f.Live[n-1][1] = id
		} else {
			f.Live = append(f.Live, [2]uint64{id, id})
		}
		if end, ok := f.Ends[id]; ok {
			ends[id] = end
		}
	}
	f.Ends = ends
	g.former = f
	return gone, f
}

// lendEnds gives the generations an end that have none, and tells which: all that one
// took came before the next began, or until now.
func (l *living) lendEnds(now int64) map[uint64]int64 {
	ends := make(map[uint64]int64)
	for i, gen := range l.list {
		if gen.End != math.MaxInt64 {
			continue
		}
		end := now
		if i+1 < len(l.list) {
			end = l.list[i+1].Start
		}
		gen.End = max(gen.Start, end)
		ends[gen.ID] = gen.End
	}
	return ends
}

// idsOf are the IDs of generations, in their order.
func idsOf(list []*Generation) []uint64 {
	var ids []uint64
	for _, gen := range list {
		ids = append(ids, gen.ID)
	}
	slices.Sort(ids)
	return ids
}
