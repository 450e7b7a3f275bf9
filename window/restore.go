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
	t := &Table{mem: mem, now: l}
	t.next = t.now
	lines, sides, err := mem.Grow(t.now.Lines())
	if err != nil {
		return nil, err
	}
	t.lines, t.sides = lines, sides
	n := l.Blocks()
	t.absent = absence{fetch: fetch, blocks: make([]uint64, (n+63)/64), left: n}
	for i := range n {
		t.absent.blocks[i/64] |= 1 << (i % 64)
	}
	for s := range t.shards {
		t.shards[s].Layout, t.shards[s].absent = t.now, 1<<l.Bits
	}
	return t, nil
}

// Layout is the table's. No sweep may be on.
func (t *Table) Layout() Layout { return t.now }

// Absent is how many blocks were not fetched yet.
func (t *Table) Absent() int { return t.absent.left }

// FetchNext fetches a block that is absent, and tells whether there was one.
func (t *Table) FetchNext() bool {
	if t.absent.left == 0 {
		return false
	}
	a := &t.absent
	for a.blocks[a.next] == 0 {
		a.next++
	}
	t.need(a.next*64 + bits.TrailingZeros64(a.blocks[a.next]))
	return true
}

// Raw is a block's lines, and their sides if the table has any: the table's own
// memory. No sweep may be on.
func (t *Table) Raw(i int) ([]Line, []Side) {
	if t.absent.left > 0 {
		t.need(i)
	}
	from := i * int(t.now.Block)
	to := from + int(t.now.Block)
	if t.sides == nil {
		return t.lines[from:to], nil
	}
	return t.lines[from:to], t.sides[from:to]
}

// need fetches a block if it is absent.
func (t *Table) need(block int) {
	a := &t.absent
	if a.blocks[block/64]>>(block%64)&1 == 0 {
		return
	}
	a.blocks[block/64] &^= 1 << (block % 64)
	a.left--
	t.shards[block>>t.now.Bits].absent--
	lines, sides := t.Raw(block)
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
