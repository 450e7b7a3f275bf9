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
// A range is the keys with the same first bits, up to half a million of them: so
// many that their filter is small for each, and so few that building it takes
// 20 MB. A page is 4 KiB. All numbers are little endian.
//
//	page    see page.go
//	filter  8 seed · 4 segment length · 4 mask · 4 segments · 4 length in all · n × 2
//	footer  see footer.go
package cold

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"sort"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/arena"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/window"
)

const (
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

	// What the log holds before this offset of this file of it, is in here.
	Log uint64
	At  int64
}

// File is an open cold file. Locate and Find may be called from several
// goroutines, and beside LoadPart and Unload as these say.
type File struct {
	Number      uint64
	Generations []Generation
	Replaces    []uint64 // numbers of the files whose keys it has taken over
	Keys        int64
	Watermark   int64 // the time that the ledger had reached

	path   string
	file   vfs.File
	size   int64
	layout layout
	bits   int // of the fingerprint that choose a range
	ranges []span
	memory *arena.Arena // of the filters; nil: none was loaded yet
	loaded atomic.Int64 // bytes of filters in it
	buffer sync.Pool
}

// span is one range.
type span struct {
	offset int64 // of its first page
	pages  int
	size   int64    // bytes of the filter behind the pages
	sum    uint32   // its checksum
	first  []uint64 // first word of each page's first key
	at     int64    // of the filter in memory
	filter filter
}

// page is the offset of a page.
func (s *span) page(at int) int64 { return s.offset + int64(at)*pageSize }

// end is the offset behind the filter.
func (s *span) end() int64 { return s.page(s.pages) + s.size }

// word is the first eight bytes of a fingerprint.
func word(k window.Key) uint64 {
	home, _ := k.Words()
	return uint64(k.Shard())<<56 | home>>8
}

// PartOf is the part that holds a key.
func (f *File) PartOf(k window.Key) int { return int(word(k) >> (64 - f.bits)) }

// Place is where in a file a key would be.
type Place struct{ part, page int }

// Find looks a key up: Locate, then Read.
func (f *File) Find(k window.Key) (e Entry, ok bool, err error) {
	at, ok := f.Locate(k)
	if !ok {
		return e, false, nil
	}
	return f.Read(k, at)
}

// Locate tells where a key is if it is there at all: false says that it is not.
// It asks the filter of the key's part, if that is loaded, and reads nothing.
func (f *File) Locate(k window.Key) (at Place, ok bool) {
	w := word(k)
	at.part = f.PartOf(k)
	r := &f.ranges[at.part]
	if r.pages == 0 || r.filter.loaded && !r.filter.contains(w) {
		return at, false
	}
	// The last page that begins at or before the key.
	at.page = sort.Search(r.pages, func(i int) bool { return r.first[i] > w }) - 1
	return at, at.page >= 0
}

// Read looks a key up where Locate has told, by reading a page. An error means
// that the file cannot tell. It may run beside LoadPart and Unload.
func (f *File) Read(k window.Key, at Place) (e Entry, ok bool, err error) {
	r := &f.ranges[at.part]
	for page := at.page; page >= 0; page-- {
		e, ok, err = f.findInPage(r, page, k)
		if ok || err != nil || r.first[page] != word(k) {
			break
		}
		// The page before may end with keys of the same word.
	}
	return e, ok, err
}

func (f *File) findInPage(r *span, at int, k window.Key) (e Entry, ok bool, err error) {
	page, _ := f.buffer.Get().(*[pageSize]byte)
	if page == nil {
		page = new([pageSize]byte)
	}
	defer f.buffer.Put(page)
	if _, err := f.file.ReadAt(page[:], r.page(at)); err != nil {
		return e, false, fmt.Errorf("read cold file: %w", err)
	}
	v, err := f.view(page[:], r.page(at))
	if err != nil {
		return e, false, err
	}
	e, found, ok := v.find(k)
	if !ok || found && int(e.Generation) >= len(f.Generations) {
		return e, false, f.damagedAt(r.page(at), "page makes no sense")
	}
	return e, found, nil
}

func (f *File) damagedAt(offset int64, what string) error {
	return fmt.Errorf("%w: %s at offset %d: %s: restore it from a backup", hapax.ErrCorrupt, f.path, offset, what)
}

// view verifies a page that was read at offset.
func (f *File) view(page []byte, offset int64) (view, error) {
	v, ok := f.layout.view(page)
	if binary.LittleEndian.Uint32(page) != pageSum(page, offset) || !ok {
		return v, f.damagedAt(offset, "page does not match its checksum")
	}
	return v, nil
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

func less(a, b window.Key) bool {
	aw, bw := word(a), word(b)
	if aw != bw {
		return aw < bw
	}
	ah, ar := a.Words()
	bh, br := b.Words()
	return ah < bh || ah == bh && ar < br
}

// Memory is the bytes that the file takes in memory now: its filters that are
// loaded, and its index.
func (f *File) Memory() int64 {
	n := f.loaded.Load() + int64(len(f.ranges))*int64(unsafe.Sizeof(span{}))
	for i := range f.ranges {
		n += int64(f.ranges[i].pages) * 8
	}
	return n
}

// Size is the file's length in bytes.
func (f *File) Size() int64 { return f.size }

// Path is the file's name.
func (f *File) Path() string { return f.path }

// Close closes the file and lets go of its memory. Find must not be called any
// more.
func (f *File) Close() error {
	f.Unload(f.Parts())
	var err error
	if f.memory != nil {
		err = f.memory.Release()
		f.memory = nil
	}
	return errors.Join(err, f.file.Close())
}

// Load reads the filters that are not in memory. Locate must not run beside it.
func (f *File) Load() error {
	for i := range f.ranges {
		if err := f.LoadPart(i); err != nil {
			return err
		}
	}
	return nil
}

// LoadPart reads the filter of one part if it is not in memory. Locate of a key
// of that part must not run beside it.
func (f *File) LoadPart(i int) error {
	r := &f.ranges[i]
	if r.filter.loaded || r.size == 0 {
		return nil
	}
	if err := f.reserve(); err != nil {
		return err
	}
	all, err := f.memory.Grow(f.memory.Used())
	if err == nil {
		r.filter, err = f.readFilter(r, all[r.at:][:r.size])
	}
	if err != nil {
		return err
	}
	f.loaded.Add(r.place())
	return nil
}

// Unload drops the filters of the first n parts: look-ups in them read a page
// each. Locate of a key of these must not run beside it.
func (f *File) Unload(n int) {
	if f.memory == nil || n == 0 {
		return
	}
	for i := range f.ranges[:n] {
		if r := &f.ranges[i]; r.filter.loaded {
			r.filter = filter{}
			f.loaded.Add(-r.place())
		}
	}
	last := &f.ranges[n-1]
	f.memory.Discard(0, int(last.at+last.place()))
}

// Parts is how many parts the file has: ranges of fingerprints, in order. It is
// a power of two.
func (f *File) Parts() int { return len(f.ranges) }

// All yields every entry in order, or an error at the end. It may run beside
// Find.
func (f *File) All() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		c := cursor{f: f, end: f.Parts()}
		for {
			e, ok, err := c.next()
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if !ok || !yield(e, nil) {
				return
			}
		}
	}
}

// Oldest is the lowest ID of its generations.
func (f *File) Oldest() uint64 {
	oldest := ^uint64(0)
	for _, g := range f.Generations {
		oldest = min(oldest, g.ID)
	}
	return oldest
}
