package window

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
)

// Layout is how many blocks a shard has, and lines a block.
type Layout struct {
	Bits   uint8  // 2^Bits lines a block, half as many buckets
	Blocks uint32 // of a shard: one, unless a block is as large as it gets
}

const (
	leastBits = 2       // of a block: two buckets
	fullBits  = 6       // of a block as large as it gets: a page of lines
	maxBlocks = 1 << 16 // of a shard
	manySlots = 32      // of a directory for each block, at least
	// givers is how many blocks give slots up for a new one. All of them would have all
	// entries looked at for each growth; with one, blocks of half the load would stand
	// beside full ones, where room is hard to find.
	givers = 3
	// gain is the part of its blocks by which a table grows, or by one: the load stays
	// above 0.84 in a large one.
	gain = 1. / 40
)

// MaxLines is the most that a table has: 64 GiB of them.
const MaxLines = shards * maxBlocks << fullBits

// layoutFor has at least that many lines.
func layoutFor(lines int) Layout {
	l := Layout{Bits: leastBits, Blocks: 1}
	for l.Bits < fullBits && l.Lines() < lines {
		l.Bits++
	}
	l.Blocks = uint32(max((lines+l.Lines()-1)/l.Lines(), 1))
	return l
}

// largest is the layout with the most lines up to a limit, and with some anyhow.
func largest(limit int) Layout {
	l := Layout{Bits: leastBits, Blocks: 1}
	for l.Bits < fullBits && 2*l.Lines() <= limit {
		l.Bits++
	}
	l.Blocks = uint32(min(max(limit/l.Lines(), 1), maxBlocks)) // one, where it could not get longer
	return l
}

// Grown is the layout after the next growth of a table, to so many lines at most. It is
// over the limit if there can be none.
func (l Layout) Grown(limit int) Layout {
	if l.Bits < fullBits {
		l.Bits++
		return l
	}
	most := uint32(min(limit/shards>>fullBits, maxBlocks))
	l.Blocks += max(min(uint32(gain*float64(l.Blocks)), most-min(most, l.Blocks)), 1)
	return l
}

// Largest is the number of lines of a table that has grown to the limit as often as it
// can.
func (l Layout) Largest(limit int) int { return max(largest(limit).Lines(), l.Lines()) }

// CountBlocks is the number of blocks of all shards.
func (l Layout) CountBlocks() int { return shards * int(l.Blocks) }

// Lines is the number of lines of all shards.
func (l Layout) Lines() int { return l.CountBlocks() << l.Bits }

// BlockLines is the number of lines of a block.
func (l Layout) BlockLines() int { return 1 << l.Bits }

// bucketBits is the same of the number of buckets of a block.
func (l Layout) bucketBits() uint8 { return l.Bits - 1 }

// Check reports why no table is laid out so.
func (l Layout) Check() error {
	if l.Bits < leastBits || l.Bits > fullBits || l.Blocks < 1 || l.Blocks > maxBlocks || l.Blocks > 1 && l.Bits < fullBits {
		return fmt.Errorf("no table has 2^%d lines a block and %d blocks", l.Bits, l.Blocks)
	}
	return nil
}

// blockNumber is the number of a shard's block among those of all shards: new ones
// come behind all others.
func blockNumber(s uint8, block uint32) int { return int(block)<<8 | int(s) }

// directory tells in which block of its shard a key is: by the slot that the first
// bits of a word are. Where blocks are added each of the others gives up as many
// slots, so that only the keys of those move (extendible hashing, Fagin and others
// 1979; the slots of hashing are as those of a Redis cluster). It never changes.
type directory struct {
	blocks []uint16 // by slot
	shift  uint8    // of a word
	count  uint32   // of blocks
}

// newDirectory deals the slots out to so many blocks.
func newDirectory(blocks uint32) *directory {
	d := sizedDirectory(blocks)
	for s := range d.blocks {
		d.blocks[s] = uint16(s % int(blocks))
	}
	return d
}

func sizedDirectory(blocks uint32) *directory {
	n := slotBits(blocks)
	return &directory{blocks: make([]uint16, 1<<n), shift: uint8(64 - n), count: blocks}
}

func (d *directory) block(word uint64) uint32 { return uint32(d.blocks[word>>d.shift]) }

// others is the slots of a bucket whose entries, by their words 0 or 1, are not in a
// block: a bit each.
func (d *directory) others(b *bucket, word, block uint32) (leave uint8) {
	w := b[word&1:]
	for slot := range slots {
		leave |= not(d.block(w[2*slot]) == block) << slot
	}
	return leave
}

// slotBits is how many bits of a word name a slot, with so many blocks.
func slotBits(blocks uint32) int {
	if blocks == 1 {
		return 0
	}
	return bits.Len32(manySlots*blocks - 1)
}

// grown is the directory with more blocks, twice as many at most, and which of the old
// ones give up slots for them.
func (d *directory) grown(to uint32) (next *directory, donors []uint32) {
	if to == d.count {
		return d, nil
	}
	next = sizedDirectory(to)
	times := len(next.blocks) / len(d.blocks)
	for s := range next.blocks {
		next.blocks[s] = d.blocks[s/times]
	}
	donors = next.split(d.count)
	return next, donors
}

// split gives each block from the first new one on as many slots as each of some
// others keeps, which have the most and give them up. It returns those.
func (d *directory) split(fresh uint32) (donors []uint32) {
	has := make([]int, fresh)
	for _, b := range d.blocks {
		has[b]++
	}
	donors = make([]uint32, fresh)
	for b := range donors {
		donors[b] = uint32(b)
	}
	slices.SortStableFunc(donors, func(a, b uint32) int { return has[b] - has[a] })
	added := int(d.count - fresh)
	donors = donors[:min(added*givers, len(donors))]
	to, turn := make([]uint16, fresh), make([]int, fresh) // a donor's new block, and when it gives
	for i, b := range donors {
		to[b] = uint16(int(fresh) + i%added)
		turn[b] = (len(donors)-1-i%added)/added + 2
	}
	for s, b := range d.blocks {
		if turn[b] == 0 {
			continue
		}
		if has[b]--; has[b]%turn[b] == 0 {
			d.blocks[s] = to[b]
		}
	}
	slices.Sort(donors)
	return donors
}

// DirectoryBytes is the size of [Table.Directory] for a layout.
func (l Layout) DirectoryBytes() int { return 2 << slotBits(l.Blocks) }

// append appends the directory's blocks, two bytes each, the lower one first.
func (d *directory) append(b []byte) []byte {
	for _, block := range d.blocks {
		b = binary.LittleEndian.AppendUint16(b, block)
	}
	return b
}

func readDirectory(blocks uint32, b []byte) (*directory, error) {
	d := sizedDirectory(blocks)
	if len(b) != 2*len(d.blocks) {
		return nil, fmt.Errorf("the directory of %d blocks takes %d bytes, and not %d", blocks, 2*len(d.blocks), len(b))
	}
	for s := range d.blocks {
		if d.blocks[s] = binary.LittleEndian.Uint16(b[2*s:]); uint32(d.blocks[s]) >= blocks {
			return nil, fmt.Errorf("the directory of %d blocks names block %d", blocks, d.blocks[s])
		}
	}
	return d, nil
}
