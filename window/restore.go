package window

import (
	"fmt"
	"math/bits"
)

// Fetch fills the lines of a block, which are zero, and their sides.
type Fetch func(block int, lines []Line, sides []Side)

// absence is the blocks of a restored table that are not there yet.
type absence struct {
	fetch  Fetch
	blocks []uint64 // a bit each
	left   int
	next   int // none before it
}

// RestoreTable returns a table of a layout whose blocks are fetched one by one,
// each before it is first looked at. Until all are there, calls must not overlap.
func RestoreTable(mem Memory, l Layout, fetch Fetch) (*Table, error) {
	if !l.valid() {
		return nil, fmt.Errorf("no table has %d lines a block and 2^%d blocks", l.Block, l.Bits)
	}
	t := new(Table)
	if err := t.lay(mem, l); err != nil {
		return nil, err
	}
	n := l.Blocks()
	t.absent = absence{fetch: fetch, blocks: make([]uint64, (n+63)/64), left: n}
	for i := range n {
		t.absent.blocks[i/64] |= 1 << (i % 64)
	}
	for s := range t.shards {
		t.shards[s].absent = 1 << l.Bits
	}
	return t, nil
}

// Layout is the table's. No sweep may be on.
func (g *grid) Layout() Layout { return g.now }

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
	return g.absent.left > 0 && g.absent.blocks[block/64]>>(block%64)&1 != 0
}

// Install copies a block to its place that was read beside the table: what [Fetch]
// would have filled it with. If it was fetched meanwhile that counts: it may have
// changed since.
func (g *grid) Install(block int, lines []Line, sides []Side) {
	if !g.Lacks(block) {
		return
	}
	ownLines, ownSides := g.arrive(block)
	copy(ownLines, lines)
	copy(ownSides, sides)
}

// Raw is a block's lines, and their sides if the table has any: the table's own
// memory. No sweep may be on.
func (g *grid) Raw(i int) ([]Line, []Side) {
	g.need(i)
	from := i * int(g.now.Block)
	to := from + int(g.now.Block)
	if g.sides == nil {
		return g.lines[from:to], nil
	}
	return g.lines[from:to], g.sides[from:to]
}

// need fetches a block if it is absent.
func (g *grid) need(block int) {
	if g.Lacks(block) {
		lines, sides := g.arrive(block)
		g.absent.fetch(block, lines, sides)
	}
}

// arrive takes a block as there from now on and returns what is to be filled.
func (g *grid) arrive(block int) ([]Line, []Side) {
	a := &g.absent
	a.blocks[block/64] &^= 1 << (block % 64)
	a.left--
	g.shards[block>>g.now.Bits].absent--
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
