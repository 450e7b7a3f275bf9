package partition

import (
	"math"
	"slices"
	"sort"
)

// Extent is where a batch stands in the log, or a run of batches back to back.
type Extent struct {
	Base    int64  // behind the extent before it, and not behind its own first offset
	Last    int64  // the last offset
	MaxTime int64  // the latest time of its records, Unix ms; -1: none has one
	At      int64  // of its bytes in the file
	File    uint64 // of the log
	Length  int32
	Run     bool // it may be several batches
}

// index knows the extents of a partition, in the order of their offsets. It takes
// 16 bytes an extent, and 100 for each row of them that stands in one file.
type index struct {
	blocks []*block
	count  int
	bytes  int64 // of their batches
}

const blockSize = 512

// block is some extents that stand in one file, one behind the other.
type block struct {
	file    uint64
	base    int64 // of the first entry
	maxTime int64 // of all of them
	bytes   int64
	small   int // how many are below smallExtent

	offset, time, at int64   // what entries count from
	entries          []entry // up to blockSize
}

// entry is an extent less what its block says.
type entry struct {
	last, at uint32
	time     int32
	length   uint32 // and runBit
}

const runBit = 1 << 31

func newBlock(e Extent) *block {
	return &block{file: e.File, base: e.Base, maxTime: e.MaxTime, offset: e.Base, time: e.MaxTime, at: e.At}
}

// add adds an extent, unless it does not fit.
func (b *block) add(e Extent) bool {
	last, at, time := e.Last-b.offset, e.At-b.at, e.MaxTime-b.time
	if len(b.entries) == blockSize || e.File != b.file || last < 0 || last > math.MaxUint32 ||
		at < 0 || at > math.MaxUint32 || int64(int32(time)) != time {
		return false
	}
	length := uint32(e.Length)
	if e.Run {
		length |= runBit
	}
	b.entries = append(b.entries, entry{last: uint32(last), at: uint32(at), time: int32(time), length: length})
	b.maxTime = max(b.maxTime, e.MaxTime)
	b.bytes += int64(e.Length)
	if e.Length < smallExtent {
		b.small++
	}
	return true
}

func (b *block) extent(i int) Extent {
	n := b.entries[i]
	e := Extent{
		Base: b.base, Last: b.offset + int64(n.last), MaxTime: b.time + int64(n.time), At: b.at + int64(n.at), File: b.file,
		Length: int32(n.length &^ runBit), Run: n.length&runBit != 0,
	}
	if i > 0 {
		e.Base = b.lastOf(i-1) + 1
	}
	return e
}

func (b *block) lastOf(i int) int64 { return b.offset + int64(b.entries[i].last) }

func (b *block) last() int64 { return b.lastOf(len(b.entries) - 1) }

// search is the first entry that holds the offset or comes after it.
func (b *block) search(offset int64) int {
	return sort.Search(len(b.entries), func(i int) bool { return b.lastOf(i) >= offset })
}

func (x *index) append(e Extent) {
	if n := len(x.blocks); n == 0 || !x.blocks[n-1].add(e) {
		b := newBlock(e)
		b.add(e)
		x.blocks = append(x.blocks, b)
	}
	x.count++
	x.bytes += int64(e.Length)
}

// search is the first block with an extent that holds the offset or comes after it.
func (x *index) search(offset int64) int {
	return sort.Search(len(x.blocks), func(i int) bool { return x.blocks[i].last() >= offset })
}

// from calls yield for the extents that hold the offset or come after it, in
// order, until it returns false.
func (x *index) from(offset int64, yield func(Extent) bool) {
	for _, b := range x.blocks[x.search(offset):] {
		for i := b.search(offset); i < len(b.entries); i++ {
			if !yield(b.extent(i)) {
				return
			}
		}
	}
}

// since is the first extent that holds a time at or after t, of those that hold the
// offset or come after it.
func (x *index) since(offset, t int64) (e Extent, ok bool) {
	for _, b := range x.blocks[x.search(offset):] {
		if b.maxTime < t {
			continue
		}
		for i := b.search(offset); i < len(b.entries); i++ {
			if b.time+int64(b.entries[i].time) >= t {
				return b.extent(i), true
			}
		}
	}
	return Extent{}, false
}

// trim lets the extents go whose last offset is below start.
func (x *index) trim(start int64) {
	gone := x.search(start)
	for _, b := range x.blocks[:gone] {
		x.count -= len(b.entries)
		x.bytes -= b.bytes
	}
	x.blocks = slices.Delete(x.blocks, 0, gone)
	if len(x.blocks) == 0 {
		return
	}
	b := x.blocks[0]
	for range b.search(start) {
		x.count--
		x.bytes -= b.shift()
	}
}

// shift lets the first of several entries go, and returns how long it was.
func (b *block) shift() (length int64) {
	length = int64(b.entries[0].length &^ runBit)
	b.base = b.lastOf(0) + 1
	b.entries = b.entries[1:]
	b.bytes -= length
	if length < smallExtent {
		b.small--
	}
	return length
}

// replace puts an extent in the place of those whose last offsets are from one up
// to another. One without bytes is none.
func (x *index) replace(from, to int64, by Extent) {
	first := x.search(from)
	if first > 0 && x.blocks[first-1].file == by.File {
		first-- // it may have room
	}
	behind := first
	var made index
	put := func() {
		if by.Length > 0 {
			made.append(by)
		}
		by.Length = 0
	}
	for _, b := range x.blocks[first:] {
		if b.lastOf(0) >= to {
			break
		}
		behind++
		x.count -= len(b.entries)
		x.bytes -= b.bytes
		for i := range b.entries {
			e := b.extent(i)
			if e.Last >= to {
				put()
			}
			if e.Last < from || e.Last >= to {
				made.append(e)
			}
		}
	}
	put()
	x.blocks = slices.Replace(x.blocks, first, behind, made.blocks...)
	x.count += made.count
	x.bytes += made.bytes
}

// live adds how many bytes of each file are batches that are kept.
func (x *index) live(files map[uint64]int64) {
	for _, b := range x.blocks {
		files[b.file] += b.bytes
	}
}
