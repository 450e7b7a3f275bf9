package window

import "math/bits"

// makeRoom frees a slot in one of a key's two full lines. Mostly one of their
// entries can move to its other line; else it takes a chain of moves.
func (g *grid) makeRoom(shard uint8, full Spot, live *Live) (Place, bool) {
	lines := [2]uint32{full.home, full.other}
	ways := [2][slots]uint32{g.ways(shard, int(full.home)), g.ways(shard, int(full.other))}
	loadLines(&g.lines[0], &ways[0][0], 2*slots)
	for i := range lines {
		for slot, to := range ways[i] {
			if free := vacant(&g.lines[to], live); free != 0 {
				from := Place{int(lines[i]), slot}
				g.move(from, Place{int(to), bits.TrailingZeros8(free)})
				return from, true
			}
		}
	}
	return g.makeChain(shard, full, live)
}

// step is a full line that a search for room has reached.
type step struct {
	line uint32
	from int16 // index of the step whose slot leads here, -1 at the start
	slot uint8 // that slot
}

// makeChain searches breadth first for the shortest chain of entries that can
// each move to their other line, the last of them into a vacant slot.
func (g *grid) makeChain(shard uint8, full Spot, live *Live) (Place, bool) {
	const most = 128
	var steps [most]step
	steps[0], steps[1] = step{full.home, -1, 0}, step{full.other, -1, 0}
	n := 2
	for i := 0; i < n; i++ {
		ways := g.ways(shard, int(steps[i].line))
		loadLines(&g.lines[0], &ways[0], slots)
		for slot, to := range ways {
			if free := vacant(&g.lines[to], live); free != 0 {
				return g.shift(steps[:n], i, slot, Place{int(to), bits.TrailingZeros8(free)}), true
			}
			if n < most && !reached(steps[:n], to) {
				steps[n] = step{to, int16(i), uint8(slot)}
				n++
			}
		}
	}
	return Place{}, false
}

// ways is the other lines of a line's entries.
func (g *grid) ways(shard uint8, line int) (to [slots]uint32) {
	for slot := range slots {
		k, _ := g.keyAt(shard, Place{line, slot})
		home, other := g.places(k)
		to[slot] = uint32(home ^ other ^ line)
	}
	return to
}

func reached(steps []step, line uint32) bool {
	for i := range steps {
		if steps[i].line == line {
			return true
		}
	}
	return false
}

// shift moves the entries of a chain, the last one into hole, and returns the
// place that the first one leaves.
func (g *grid) shift(steps []step, at, slot int, hole Place) Place {
	for {
		from := Place{int(steps[at].line), slot}
		g.move(from, hole)
		hole = from
		if steps[at].from < 0 {
			return hole
		}
		at, slot = int(steps[at].from), int(steps[at].slot)
	}
}

func (g *grid) move(from, to Place) {
	f, l := &g.lines[from.line], &g.lines[to.line]
	l[2*to.slot], l[2*to.slot+1] = f[2*from.slot], f[2*from.slot+1]
	if g.sides != nil {
		g.sides[to.line][to.slot] = g.sides[from.line][from.slot]
	}
}
