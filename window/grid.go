package window

import "math"

// grid is a table's buckets and where in them a key may live.
type grid struct {
	cells
	shards [shards]shard

	mem    Memory
	now    Layout        // of shards not yet swept
	next   Layout        // of shards already swept
	dirs   [2]*directory // of now and of next
	from   uint32        // of the shard that is moving: blocks from here on are swept
	epoch  uint32        // of spots
	absent absence       // of a table that is being restored: see restore.go
}

const (
	shards     = 256
	numberBits = 0xff // of word 1
)

// Live tells which generation numbers are live.
type Live [256]bool

// shard is the keys of one first byte.
type shard struct {
	dir    *directory
	bits   uint8  // 2^bits buckets a block
	moving bool   // some of its blocks are swept already, by a growth: see sweep.go
	spills bool   // some keys are in the table's spill
	asks   bool   // it is moving, or blocks are absent: the directory alone does not tell
	absent int32  // blocks yet to be fetched: see restore.go
	walked uint32 // blocks that somebody has visited on a walk: see block.go
}

// lay makes the lines, all empty, with words beside the entries or without.
func (g *grid) lay(mem Memory, beside bool, l Layout, d *directory) (err error) {
	if beside {
		g.beside = math.MaxUint32
	}
	g.mem, g.now, g.next, g.dirs = mem, l, l, [2]*directory{d, d}
	g.lines, err = mem.Grow(g.space(l))
	for s := range g.shards {
		g.shards[s].dir, g.shards[s].bits = d, l.bucketBits()
	}
	return err
}

// Capacity is the number of keys the table takes before it wants to grow.
func (g *grid) Capacity() int { return int(float64(g.now.Lines()) * inLine * fullest) }

// Lines is the number of lines, but for those of a growth under way.
func (g *grid) Lines() int { return g.now.Lines() }

// Bytes is the memory the table's lines take, the growth under way included.
func (g *grid) Bytes() int64 { return int64(g.space(g.next)) * int64(len(Line{})*8) }

// space is how many lines of memory a layout takes.
func (g *grid) space(l Layout) int { return Space(l.Lines(), g.beside != 0) }

// even is the even bucket of a block that word 0 leads to.
func (sh *shard) even(s uint8, block uint32, word uint64) uint32 {
	return sh.first(s, block) + uint32(word<<1)&(1<<sh.bits-1)
}

// odd is the odd bucket of a block that word 1 leads to.
func (sh *shard) odd(s uint8, block uint32, word uint64) uint32 {
	return sh.first(s, block) + uint32(word>>7)&(1<<sh.bits-1) | 1
}

// block is the block of shard s that a word leads to.
func (g *grid) block(sh *shard, s uint8, word uint64) uint32 {
	if sh.asks {
		return g.blockNow(sh, s, word)
	}
	return sh.dir.block(word)
}

// changed is to follow each change of what is moving or absent.
func (sh *shard) changed() { sh.asks = sh.moving || sh.absent > 0 }

// blockNow is block while the shard is swept by a growth, or some of it is absent.
func (g *grid) blockNow(sh *shard, s uint8, word uint64) uint32 {
	b := sh.dir.block(word)
	if sh.moving && b >= g.from {
		return g.dirs[1].block(word)
	}
	g.need(blockNumber(s, b))
	return b
}

// first is the first bucket of a block.
func (sh *shard) first(s uint8, block uint32) uint32 {
	return uint32(blockNumber(s, block)) << sh.bits
}

// Spot is the two buckets a key may live in, as long as the Epoch is the same: an even
// one by word 0, and an odd one by word 1.
type Spot struct{ home, other uint32 }

// Epoch changes when keys' spots do: with every step of a growth.
func (g *grid) Epoch() uint32 { return g.epoch }

// Spot finds a key's buckets without reading them.
func (g *grid) Spot(k Key) Spot {
	sh := &g.shards[k.shard]
	return Spot{
		home:  sh.even(k.shard, g.block(sh, k.shard, k.home), k.home),
		other: sh.odd(k.shard, g.block(sh, k.shard, k.rest), k.rest),
	}
}
