package window

import "math/bits"

// likely is how many of a full bucket's entries are looked at first for one that can
// move: two of three can.
const likely = 4

// makeRoom frees a slot in one of a key's two full buckets. Mostly one of their
// entries can move to its other bucket; else it takes a chain of moves.
func (g *grid) makeRoom(shard uint8, full Spot, live *Live) (Place, bool) {
	var ways [likely]uint32
	for _, b := range [2]uint32{full.home, full.other} {
		for slot := uint8(0); slot < slots; slot += likely {
			g.ways(shard, b, slot, ways[:])
			g.load(ways[:])
			for i, to := range ways {
				if free := vacant(g.bucket(to), live); free != 0 && !g.shards[shard].parts(b, to) {
					from := Place{b, slot + uint8(i)}
					g.move(from, Place{to, firstOf(free)})
					return from, true
				}
			}
		}
	}
	return g.makeChain(shard, full, live)
}

// step is a full bucket that a search for room has reached.
type step struct {
	bucket uint32
	from   int16 // index of the step whose slot leads here, -1 at the start
	slot   uint8 // that slot
}

// makeChain searches breadth first for the shortest chain of entries that can
// each move to their other bucket, the last of them into a vacant slot.
func (g *grid) makeChain(shard uint8, full Spot, live *Live) (Place, bool) {
	const most = 128
	var steps [most]step
	steps[0], steps[1] = step{full.home, -1, 0}, step{full.other, -1, 0}
	n := 2
	for i := 0; i < n; i++ {
		var ways [slots]uint32
		g.ways(shard, steps[i].bucket, 0, ways[:])
		g.load(ways[:])
		for slot, to := range ways {
			if g.shards[shard].parts(steps[i].bucket, to) {
				continue
			}
			if free := vacant(g.bucket(to), live); free != 0 {
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

// ways is the other buckets of a bucket's entries, from a slot on.
func (g *grid) ways(shard uint8, b uint32, slot uint8, to []uint32) {
	sh, entries := &g.shards[shard], g.bucket(b)
	for i := range to {
		word := entries[(2*(int(slot)+i)+int(^b&1))%len(entries)]
		if b&1 == 0 {
			to[i] = sh.odd(shard, g.block(sh, shard, word), word)
		} else {
			to[i] = sh.even(shard, g.block(sh, shard, word), word)
		}
	}
}

func reached(steps []step, b uint32) bool {
	for i := range steps {
		if steps[i].bucket == b {
			return true
		}
	}
	return false
}

// shift moves the entries of a chain, the last one into hole, and returns the
// place that the first one leaves.
func (g *grid) shift(steps []step, at int, slot uint8, hole Place) Place {
	for {
		from := Place{steps[at].bucket, slot}
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
