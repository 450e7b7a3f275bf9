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

// Absent is how many blocks were not fetched yet.
func (g *grid) Absent() int { return g.absent.left }

// FetchNext fetches a block that is absent, and tells whether there was one.
func (g *grid) FetchNext() bool {
	if g.absent.left == 0 {
		return false
	}
	a := &g.absent
	for a.blocks[a.next] == 0 {
		a.next++
	}
	g.need(a.next*64 + bits.TrailingZeros64(a.blocks[a.next]))
	return true
}

// Raw is a block's lines, and their sides if the table has any: the table's own
// memory. No sweep may be on.
func (g *grid) Raw(i int) ([]Line, []Side) {
	if g.absent.left > 0 {
		g.need(i)
	}
	from := i * int(g.now.Block)
	to := from + int(g.now.Block)
	if g.sides == nil {
		return g.lines[from:to], nil
	}
	return g.lines[from:to], g.sides[from:to]
}

// need fetches a block if it is absent.
func (g *grid) need(block int) {
	a := &g.absent
	if a.blocks[block/64]>>(block%64)&1 == 0 {
		return
	}
	a.blocks[block/64] &^= 1 << (block % 64)
	a.left--
	g.shards[block>>g.now.Bits].absent--
	lines, sides := g.Raw(block)
	a.fetch(block, lines, sides)
}

// Spilled calls visit for each key that found no place.
func (t *Table) Spilled(visit func(k Key, number uint8, side uint64)) {
	for s := range t.spill {
		for k, e := range t.spill[s] {
			visit(k, e.number, e.side)
		}
	}
}
