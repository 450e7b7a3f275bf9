package window

import (
	"math"
	"math/bits"
)

// Fetch fills the memory of a block, which is zero: see [grid.Raw].
type Fetch func(block int, lines []Line)

// absence is the blocks of a restored table that are not there yet.
type absence struct {
	fetch  Fetch
	blocks []uint64 // a bit each
	left   int
	next   int // none before it
}

// RestoreTable returns a table of a layout and a directory, whose blocks are fetched
// one by one, each before it is first looked at. Until all are there, calls must not
// overlap.
func RestoreTable(mem Memory, beside bool, l Layout, directory []byte, fetch Fetch) (*Table, error) {
	if err := l.Check(); err != nil {
		return nil, err
	}
	d, err := readDirectory(l.Blocks, directory)
	if err != nil {
		return nil, err
	}
	t := new(Table)
	if err := t.lay(mem, beside, l, d); err != nil {
		return nil, err
	}
	n := l.CountBlocks()
	t.absent = absence{fetch: fetch, blocks: make([]uint64, n/64), left: n}
	for i := range t.absent.blocks {
		t.absent.blocks[i] = math.MaxUint64
	}
	for s := range t.shards {
		t.shards[s].absent = int32(l.Blocks)
		t.shards[s].changed()
	}
	return t, nil
}

// Layout is the table's, or what it was before the growth that is on.
func (g *grid) Layout() Layout { return g.now }

// Directory is what RestoreTable is to be given with the layout. No sweep may be on.
func (g *grid) Directory() []byte { return g.dirs[0].append(nil) }

// NextAbsent is a block that was not fetched yet, and whether there is one.
func (g *grid) NextAbsent() (block int, ok bool) {
	a := &g.absent
	if a.left == 0 {
		return 0, false
	}
	for a.blocks[a.next] == 0 {
		a.next++
	}
	return a.next*64 + bits.TrailingZeros64(a.blocks[a.next]), true
}

// Lacks tells whether a block was not fetched yet.
func (g *grid) Lacks(block int) bool {
	a := &g.absent
	return a.left > 0 && block < 64*len(a.blocks) && a.blocks[block/64]>>(block%64)&1 != 0
}

// Install copies a block to its place that was read beside the table: what [Fetch]
// would have filled it with. If it was fetched meanwhile that counts: it may have
// changed since.
func (g *grid) Install(block int, lines []Line) {
	if g.Lacks(block) {
		copy(g.arrive(block), lines)
	}
}

// Raw is a block's memory, the table's own: its lines of entries, and behind every two
// that of the words beside them if the table has any. No sweep may be on.
func (g *grid) Raw(i int) []Line {
	g.need(i)
	from, to := i<<g.now.bucketBits(), (i+1)<<g.now.bucketBits()
	return g.lines[g.at(uint32(from)):g.at(uint32(to))]
}

// Renumber gives all entries in a block's memory other numbers: by the ones they have.
func Renumber(lines []Line, beside bool, numbers *[256]uint8) {
	for i := range lines {
		if beside && i%3 == 2 {
			continue
		}
		for slot := range inLine {
			w := &lines[i][2*slot+1]
			*w = *w&^numberBits | uint64(numbers[uint8(*w)])
		}
	}
}

// need fetches a block if it is absent.
func (g *grid) need(block int) {
	if g.Lacks(block) {
		g.absent.fetch(block, g.arrive(block))
	}
}

// arrive takes a block as there from now on and returns what is to be filled.
func (g *grid) arrive(block int) []Line {
	a := &g.absent
	a.blocks[block/64] &^= 1 << (block % 64)
	a.left--
	sh := &g.shards[uint8(block)]
	sh.absent--
	sh.changed()
	return g.Raw(block)
}

// Spilled calls visit for each key that found no place.
func (t *Table) Spilled(visit func(k Key, number uint8, side uint64)) {
	for s := range t.spill {
		for k, e := range t.spill[s] {
			visit(k, e.number, e.side)
		}
	}
}
