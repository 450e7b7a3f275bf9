// Package cold keeps identities in immutable files sorted by fingerprint: the
// oldest generations of a ledger that has used up its memory. A filter of about
// 2.3 bytes a key stays in memory (binary fuse, Graf and Lemire 2022, 16 bits:
// one look-up in 65,536 of a key that is not there passes it); what passes is
// settled by reading one page.
//
//	┌──────┬───────────────────────┬───────────────────────┬───┬────────┐
//	│ head │ range 0: pages filter │ range 1: pages filter │ … │ footer │
//	└──────┴───────────────────────┴───────────────────────┴───┴────────┘
//
// A range is the keys with the same first bits, 2⁸ ranges or more; a page is
// 4 KiB. All numbers are little endian.
//
//	page    4 checksum · 2 entries · 2 zero · entries, in order · zeros
//	entry   15 bytes of the fingerprint · 1 generation [· 8 digest]
//	filter  8 seed · 4 segment length · 4 mask · 4 segments · 4 length in all · n × 2
//	footer  see footer.go
//
// The first byte of a fingerprint is the high byte of its range and is not
// stored. An entry's generation is an index into the footer's list.
package cold

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
	"sort"
	"sync"
	"unsafe"

	"github.com/FastFilter/xorfilter"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/window"
)

const (
	pageSize   = 4096
	pageHead   = 8
	entrySize  = 16
	digestSize = 8

	// Suffix is what the names of cold files end in.
	Suffix = ".cold"
	// MaxGenerations is how many generations one file may hold.
	MaxGenerations = 255
)

// Generation is a generation as a file lists it.
type Generation struct {
	ID         uint64
	Start, End int64
	Count      int64 // keys in the file
	Bytes      int64
}

// File is an open cold file. Find may be called from several goroutines.
type File struct {
	Number      uint64
	Generations []Generation
	Replaces    []uint64 // numbers of the files whose keys it has taken over
	Keys        int64
	Log         uint64 // files of the log before this number hold nothing more of them

	path    string
	file    vfs.File
	size    int64
	digests bool
	bits    int // of the fingerprint that choose a range
	ranges  []span

	mu     sync.RWMutex // guards the ranges' filters while they are loaded
	buffer sync.Pool
}

// span is one range.
type span struct {
	offset int64 // of its first page
	pages  int
	filter int64    // bytes of the filter behind the pages
	sum    uint32   // its checksum
	first  []uint64 // word 0 of each page's first key
	fuse   *xorfilter.BinaryFuse[uint16]
}

func (f *File) entry() int {
	if f.digests {
		return entrySize + digestSize
	}
	return entrySize
}

func perPage(entry int) int { return (pageSize - pageHead) / entry }

// Entry is a key of a file.
type Entry struct {
	Key        window.Key
	Generation uint8 // index into File.Generations
	Digest     hapax.Digest
}

// rangeOf is the range that holds a key.
func rangeOf(k window.Key, bits int) int {
	home, _ := k.Words()
	return int(k.Shard())<<(bits-8) | int(home>>(64-(bits-8)))
}

// Find looks a key up. An error means that the file cannot tell.
func (f *File) Find(k window.Key) (e Entry, ok bool, err error) {
	home, _ := k.Words()
	r := &f.ranges[rangeOf(k, f.bits)]
	f.mu.RLock()
	fuse := r.fuse
	f.mu.RUnlock()
	if r.pages == 0 || fuse != nil && !fuse.Contains(home) {
		return e, false, nil
	}
	// The last page that begins at or before the key; and those before it while
	// they might hold keys with the same word.
	at := sort.Search(r.pages, func(i int) bool { return r.first[i] > home }) - 1
	for ; at >= 0; at-- {
		if e, ok, err = f.findInPage(r, at, k); ok || err != nil || r.first[at] != home {
			return e, ok, err
		}
	}
	return e, false, nil
}

func (f *File) findInPage(r *span, at int, k window.Key) (e Entry, ok bool, err error) {
	page, _ := f.buffer.Get().(*[pageSize]byte)
	if page == nil {
		page = new([pageSize]byte)
	}
	defer f.buffer.Put(page)
	n, err := f.readPage(r, at, page[:])
	if err != nil {
		return e, false, err
	}
	size := f.entry()
	i := sort.Search(n, func(i int) bool { return !less(f.decode(page[pageHead+i*size:], k.Shard()).Key, k) })
	if i == n {
		return e, false, nil
	}
	e = f.decode(page[pageHead+i*size:], k.Shard())
	if int(e.Generation) >= len(f.Generations) {
		return e, false, f.damagedAt(r.page(at), "an entry of no generation")
	}
	return e, e.Key == k, nil
}

func (f *File) damagedAt(offset int64, what string) error {
	return fmt.Errorf("%w: %s at offset %d: %s: restore it from a backup", hapax.ErrCorrupt, f.path, offset, what)
}

// page is the offset of a page.
func (s *span) page(at int) int64 { return s.offset + int64(at)*pageSize }

// readPage reads a page of a range and returns its number of entries.
func (f *File) readPage(r *span, at int, page []byte) (int, error) {
	if _, err := f.file.ReadAt(page, r.page(at)); err != nil {
		return 0, fmt.Errorf("read cold file: %w", err)
	}
	return f.check(page, r.page(at))
}

// check verifies a page and returns its number of entries.
func (f *File) check(page []byte, offset int64) (int, error) {
	n := int(binary.LittleEndian.Uint16(page[4:]))
	if binary.LittleEndian.Uint32(page) != pageSum(page, offset) || n > perPage(f.entry()) {
		return 0, f.damagedAt(offset, "page does not match its checksum")
	}
	return n, nil
}

// pageSum is the checksum of a page at its place.
func pageSum(page []byte, offset int64) uint32 {
	var at [8]byte
	binary.LittleEndian.PutUint64(at[:], uint64(offset))
	return crc32.Update(checksum(at[:]), castagnoli(), page[4:])
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli()) }

// castagnoli returns the table whose checksums processors compute. MakeTable
// always returns the same one.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func (f *File) decode(b []byte, shard uint8) Entry {
	home := binary.BigEndian.Uint64(b)
	rest := binary.BigEndian.Uint64(b[8:])
	e := Entry{Key: window.MakeKey(shard, home, rest&^0xff), Generation: uint8(rest)}
	if f.digests {
		e.Digest = hapax.Digest(binary.LittleEndian.Uint64(b[entrySize:]))
	}
	return e
}

func appendEntry(b []byte, e Entry, digests bool) []byte {
	home, rest := e.Key.Words()
	b = binary.BigEndian.AppendUint64(b, home)
	b = binary.BigEndian.AppendUint64(b, rest|uint64(e.Generation))
	if digests {
		b = binary.LittleEndian.AppendUint64(b, uint64(e.Digest))
	}
	return b
}

func less(a, b window.Key) bool {
	ah, ar := a.Words()
	bh, br := b.Words()
	return ah < bh || ah == bh && ar < br
}

// Memory is the bytes that the file's filters and index take when loaded.
func (f *File) Memory() int64 {
	var n int64
	for i := range f.ranges {
		n += f.ranges[i].filter + int64(f.ranges[i].pages)*8
	}
	return n + int64(len(f.ranges))*int64(unsafe.Sizeof(span{}))
}

// Size is the file's length in bytes.
func (f *File) Size() int64 { return f.size }

// Path is the file's name.
func (f *File) Path() string { return f.path }

// Close closes the file. Find must not be called any more.
func (f *File) Close() error { return f.file.Close() }

// Unload drops the filters: every look-up reads a page until Load.
func (f *File) Unload() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.ranges {
		f.ranges[i].fuse = nil
	}
}

// Load reads the filters that are not in memory, one range at a time.
func (f *File) Load() error {
	for i := range f.ranges {
		r := &f.ranges[i]
		if r.fuse != nil || r.filter == 0 {
			continue
		}
		fuse, err := f.readFilter(r)
		if err != nil {
			return err
		}
		f.mu.Lock()
		r.fuse = fuse
		f.mu.Unlock()
	}
	return nil
}

func (f *File) readFilter(r *span) (*xorfilter.BinaryFuse[uint16], error) {
	b := make([]byte, r.filter)
	at := r.page(r.pages)
	if _, err := f.file.ReadAt(b, at); err != nil {
		return nil, fmt.Errorf("read filter of %s: %w", f.path, err)
	}
	fuse, err := decodeFilter(b, r.sum)
	if err != nil {
		return nil, fmt.Errorf("filter of %s at offset %d: %w", f.path, at, err)
	}
	return fuse, nil
}

// Parts is how many parts the file has: ranges of fingerprints, in order.
func (f *File) Parts() int { return len(f.ranges) }

// Part calls visit for every entry of a part, in order.
func (f *File) Part(i int, visit func(Entry)) error {
	r := &f.ranges[i]
	page := make([]byte, pageSize)
	shard := uint8(i >> (f.bits - 8))
	for at := range r.pages {
		n, err := f.readPage(r, at, page)
		if err != nil {
			return err
		}
		for j := range n {
			e := f.decode(page[pageHead+j*f.entry():], shard)
			if int(e.Generation) >= len(f.Generations) {
				return f.damagedAt(r.page(at), "an entry of no generation")
			}
			visit(e)
		}
	}
	return nil
}

// Oldest is the lowest ID of its generations.
func (f *File) Oldest() uint64 {
	oldest := ^uint64(0)
	for _, g := range f.Generations {
		oldest = min(oldest, g.ID)
	}
	return oldest
}

const filterHead = 24

func encodeFilter(x *xorfilter.BinaryFuse[uint16]) []byte {
	b := make([]byte, 0, filterHead+2*len(x.Fingerprints))
	b = binary.LittleEndian.AppendUint64(b, x.Seed)
	for _, v := range []uint32{x.SegmentLength, x.SegmentLengthMask, x.SegmentCount, x.SegmentCountLength} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	for _, v := range x.Fingerprints {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	return b
}

func decodeFilter(b []byte, sum uint32) (*xorfilter.BinaryFuse[uint16], error) {
	if checksum(b) != sum || len(b) < filterHead {
		return nil, fmt.Errorf("%w: it does not match its checksum: restore the file from a backup", hapax.ErrCorrupt)
	}
	x := &xorfilter.BinaryFuse[uint16]{
		Seed:               binary.LittleEndian.Uint64(b),
		SegmentLength:      binary.LittleEndian.Uint32(b[8:]),
		SegmentLengthMask:  binary.LittleEndian.Uint32(b[12:]),
		SegmentCount:       binary.LittleEndian.Uint32(b[16:]),
		SegmentCountLength: binary.LittleEndian.Uint32(b[20:]),
		Fingerprints:       make([]uint16, (len(b)-filterHead)/2),
	}
	for i := range x.Fingerprints {
		x.Fingerprints[i] = binary.LittleEndian.Uint16(b[filterHead+2*i:])
	}
	// Contains relies on this: it looks at three segments in a row.
	segment := uint64(x.SegmentLength)
	if bits.OnesCount64(segment) != 1 || x.SegmentLengthMask != x.SegmentLength-1 || x.SegmentCount == 0 ||
		uint64(x.SegmentCountLength) != uint64(x.SegmentCount)*segment ||
		uint64(len(b)) != filterHead+2*(uint64(x.SegmentCountLength)+2*segment) {
		return nil, fmt.Errorf("%w: its parts do not fit together: restore the file from a backup", hapax.ErrCorrupt)
	}
	return x, nil
}
