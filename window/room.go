package window

import "math/bits"

// makeRoom frees a slot in one of a key's two full lines. Mostly one of their
// entries can move to its other line; else it takes a chain of moves.
func (g *grid) makeRoom(shard uint8, full Spot, live *Live) (Place, bool) {
	lines := [2]uint32{full.home, full.other}
	var ways [2 * slots]uint32
	g.ways(shard, full.home, ways[:slots])
	g.ways(shard, full.other, ways[slots:])
	g.load(ways[:])
	for i, to := range ways {
		line := lines[i/slots]
		if free := vacant(g.line(to), live); free != 0 && !g.shards[shard].parts(line, to) {
			from := Place{line, uint8(i % slots)}
			g.move(from, Place{to, firstOf(free)})
			return from, true
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
		var ways [slots]uint32
		g.ways(shard, steps[i].line, ways[:])
		g.load(ways[:])
		for slot, to := range ways {
			if g.shards[shard].parts(steps[i].line, to) {
				continue
			}
			if free := vacant(g.line(to), live); free != 0 {
				return g.shift(steps[:n], i, uint8(slot), Place{to, firstOf(free)}), true
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
func (g *grid) ways(shard uint8, line uint32, to []uint32) {
	sh, l := &g.shards[shard], g.line(line)
	if line&1 == 0 {
		for slot := range slots {
			word := l[2*slot+1]
			to[slot] = sh.odd(shard, g.block(sh, shard, word), word)
		}
		return
	}
	for slot := range slots {
		word := l[2*slot]
		to[slot] = sh.even(shard, g.block(sh, shard, word), word)
	}
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
func (g *grid) shift(steps []step, at int, slot uint8, hole Place) Place {
	for {
		from := Place{steps[at].line, slot}
		g.move(from, hole)
		hole = from
		if steps[at].from < 0 {
			return hole
		}
		at, slot = int(steps[at].from), steps[at].slot
	}
}

// firstOf is the first of some slots.
func firstOf(bit uint8) uint8 { return uint8(bits.TrailingZeros8(bit)) }
