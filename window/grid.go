package window

import "math/bits"

// grid is a table's lines and where in them a key may live.
type grid struct {
	lines  []Line
	sides  []Side // beside the lines, or nil
	shards [shards]shard

	mem    Memory
	now    Layout  // of blocks not yet swept
	next   Layout  // of blocks already swept
	edge   int     // while shards are moving: blocks from here on are swept
	epoch  uint32  // of spots
	absent absence // of a table that is being restored: see restore.go
}

// Line is four entries of two words: one cache line.
type Line [8]uint64

// Side is a word beside each entry of a line: the digest of its payload, or its
// place in an order.
type Side [4]uint64

// Memory is where a table keeps its lines. The table never frees them.
type Memory interface {
	// Grow makes room for n lines in all, the added ones zeroed and the others
	// kept, and returns them (and, if the memory has sides, as many of them).
	// The lines may have moved.
	Grow(n int) (lines []Line, sides []Side, err error)
}

const (
	shards     = 256
	slots      = 4    // entries a line
	numberBits = 0xff // of word 1
)

// Live tells which generation numbers are live.
type Live [256]bool

// Layout is how many blocks a shard has, and lines a block.
type Layout struct {
	Bits  uint8  // 2^Bits blocks a shard
	Block uint32 // lines a block
}

// longest is the number of lines from which a block is split. A block is moved
// under its lock in one step, which takes some hundred microseconds; smaller
// ones would fill more unevenly.
const longest = 2048

// layoutFor has at least that many lines a shard.
func layoutFor(lines int) Layout {
	var l Layout
	for lines>>l.Bits >= longest {
		l.Bits++
	}
	l.Block = uint32(max((lines+1<<l.Bits-1)>>l.Bits, 2))
	return l
}

// Blocks is the number of blocks of all shards.
func (l Layout) Blocks() int { return shards << l.Bits }

// Lines is the number of lines of all shards.
func (l Layout) Lines() int { return l.Blocks() * int(l.Block) }

// valid tells whether a table may be laid out so.
func (l Layout) valid() bool { return l.Bits < 24 && l.Block >= 2 && l.Block <= longest }

// blockOf is the block that holds the key, of all shards' blocks.
func (l Layout) blockOf(k Key) int {
	return int(k.shard)<<l.Bits | int(k.home>>(64-l.Bits))
}

// places returns the two lines the key may live in.
func (l Layout) places(k Key) (home, other int) {
	base := l.blockOf(k) * int(l.Block)
	home = l.line(k)
	return base + home, base + l.second(k, home)
}

// line is the first of the key's two lines, within its block.
func (l Layout) line(k Key) int {
	at, _ := bits.Mul64(k.home<<l.Bits, uint64(l.Block))
	return int(at)
}

// second is the other line of a key whose first is known: never the same.
func (l Layout) second(k Key, first int) int {
	to := first + 1 + int(k.rest>>32*uint64(l.Block-1)>>32)
	if to >= int(l.Block) {
		to -= int(l.Block)
	}
	return to
}

type shard struct {
	Layout
	moving bool  // some of its blocks are already laid out anew: see sweep.go
	spills bool  // some keys are in the table's spill
	absent int32 // blocks yet to be fetched: see restore.go
}

// lay makes the lines, all empty.
func (g *grid) lay(mem Memory, l Layout) (err error) {
	g.mem, g.now, g.next = mem, l, l
	g.lines, g.sides, err = mem.Grow(l.Lines())
	for s := range g.shards {
		g.shards[s].Layout = l
	}
	return err
}

// Capacity is the number of keys the table takes before it wants to grow.
func (g *grid) Capacity() int {
	return int(float64(g.now.Lines()) * slots * fullest)
}

// Lines is the number of lines, but for those of a growth under way.
func (g *grid) Lines() int { return g.now.Lines() }

// Bytes is the memory the table's lines take, the growth under way included.
func (g *grid) Bytes() int64 {
	per := int64(len(Line{}) * 8)
	if g.sides != nil {
		per += slots * 8
	}
	return per * int64(g.next.Lines())
}

// places returns the two lines the key may live in.
func (g *grid) places(k Key) (home, other int) {
	sh := &g.shards[k.shard]
	if sh.moving && sh.blockOf(k) >= g.edge {
		return g.next.places(k)
	}
	if sh.absent > 0 {
		g.need(sh.blockOf(k))
	}
	return sh.places(k)
}

// Spot is the two lines a key may live in, as long as the Epoch is the same.
type Spot struct{ home, other uint32 }

// Epoch changes when keys' spots do: with every step of a growth.
func (g *grid) Epoch() uint32 { return g.epoch }

// Spot finds a key's lines without reading them.
func (g *grid) Spot(k Key) Spot {
	home, other := g.places(k)
	return Spot{uint32(home), uint32(other)}
}

// Place is where an entry stands until the table next changes.
type Place struct {
	line int // -1: among the spilled
	slot int
}

// keyAt is the key of a slot in shard s.
func (g *grid) keyAt(s uint8, p Place) (Key, uint8) {
	l := &g.lines[p.line]
	w := l[2*p.slot+1]
	return Key{home: l[2*p.slot], rest: w &^ numberBits, shard: s}, uint8(w)
}

func (g *grid) put(p Place, k Key, number uint8) {
	l := &g.lines[p.line]
	l[2*p.slot] = k.home
	l[2*p.slot+1] = k.rest | uint64(number)
}

// vacant is the slots of a line that hold no live entry, a bit each.
func vacant(l *Line, live *Live) uint8 {
	return dead(live[uint8(l[1])]) | dead(live[uint8(l[3])])<<1 | dead(live[uint8(l[5])])<<2 | dead(live[uint8(l[7])])<<3
}

func dead(live bool) uint8 {
	if live {
		return 0
	}
	return 1
}
