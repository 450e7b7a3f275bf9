package partition

import (
	"slices"
	"sort"
)

// Extent is where a batch stands in the log.
type Extent struct {
	Base    int64  // its first offset
	Last    int64  // its last
	MaxTime int64  // the latest time in it, Unix ms
	At      int64  // of its bytes in the file
	File    uint64 // of the log
	Length  int32
}

// index knows the extents of a partition, in the order of their offsets. It takes
// 48 bytes a batch.
type index struct {
	blocks []*block
	first  int // extents of the first block that are gone
	count  int
	bytes  int64 // of their batches
}

const blockSize = 512

type block struct {
	extents []Extent // up to blockSize
	maxTime int64    // of all of them
}

func (x *index) append(e Extent) {
	last := len(x.blocks) - 1
	if last < 0 || len(x.blocks[last].extents) == blockSize {
		b := &block{extents: make([]Extent, 0, firstBlock(last)), maxTime: e.MaxTime}
		x.blocks = append(x.blocks, b)
		last++
	}
	b := x.blocks[last]
	b.extents = append(b.extents, e)
	b.maxTime = max(b.maxTime, e.MaxTime)
	x.count++
	x.bytes += int64(e.Length)
}

// firstBlock is the capacity a block begins with: the first grows, so that a small
// partition is small.
func firstBlock(last int) int {
	if last < 0 {
		return 0
	}
	return blockSize
}

// from calls yield for the extents that hold the offset or come after it, in
// order, until it returns false.
func (x *index) from(offset int64, yield func(Extent) bool) {
	at := sort.Search(len(x.blocks), func(i int) bool {
		b := x.blocks[i].extents
		return b[len(b)-1].Last >= offset
	})
	for ; at < len(x.blocks); at++ {
		extents := x.blocks[at].extents
		if at == 0 {
			extents = extents[x.first:]
		}
		i := sort.Search(len(extents), func(i int) bool { return extents[i].Last >= offset })
		for _, e := range extents[i:] {
			if !yield(e) {
				return
			}
		}
	}
}

// since is the first extent that holds a time at or after t.
func (x *index) since(t int64) (e Extent, ok bool) {
	for at, b := range x.blocks {
		if b.maxTime < t {
			continue
		}
		extents := b.extents
		if at == 0 {
			extents = extents[x.first:]
		}
		if i := slices.IndexFunc(extents, func(e Extent) bool { return e.MaxTime >= t }); i >= 0 {
			return extents[i], true
		}
	}
	return Extent{}, false
}

// trim lets the extents go whose last offset is below start.
func (x *index) trim(start int64) {
	for len(x.blocks) > 0 {
		b := x.blocks[0].extents
		i := x.first + sort.Search(len(b)-x.first, func(i int) bool { return b[x.first+i].Last >= start })
		x.count -= i - x.first
		for _, e := range b[x.first:i] {
			x.bytes -= int64(e.Length)
		}
		x.first = i
		if i < len(b) {
			return
		}
		x.blocks[0], x.first = nil, 0
		x.blocks = x.blocks[1:]
	}
}

// oldest is the extent with the lowest offset.
func (x *index) oldest() (e Extent, ok bool) {
	if len(x.blocks) == 0 {
		return e, false
	}
	return x.blocks[0].extents[x.first], true
}
