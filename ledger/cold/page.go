package cold

import (
	"encoding/binary"
	"math/bits"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/window"
)

const (
	pageSize   = 4096
	pageHead   = 8
	digestSize = 8
)

// Entry is a key of a file.
type Entry struct {
	Key        window.Key
	Generation uint8 // index into File.Generations
	Digest     hapax.Digest
}

// layout is how a file's pages hold entries: column by column.
//
//	page  4 checksum · 2 entries · 2 length of the steps
//	      steps        a uvarint an entry: its prefix less that of the entry before
//	      rests        the other bytes of the fingerprint
//	      digests      8 an entry, if the file has them
//	      generations  so many bits an entry as an index takes
//	      zeros
//
// The prefix is the first bytes of the fingerprint as a number. Keys are sorted
// and evenly spread, so most steps are one byte for three or four.
type layout struct {
	prefix  int // bytes
	index   int // bits of an index into the generations
	digests bool
}

// layoutFor is the layout that takes least room for a file of so many keys:
// steps are 256 on average or less.
func layoutFor(keys int64, generations int, digests bool) layout {
	return layout{
		prefix:  1 + max(bits.Len64(uint64(keys))-1, 0)/8,
		index:   bits.Len(uint(max(generations-1, 0))),
		digests: digests,
	}
}

// rest is the bytes of a fingerprint behind the prefix.
func (l layout) rest() int { return len(hapax.Fingerprint{}) - l.prefix }

// length is the bytes that a page of n entries takes.
func (l layout) length(n, steps int) int {
	fixed := l.rest()
	if l.digests {
		fixed += digestSize
	}
	return pageHead + steps + n*fixed + (n*l.index+7)/8
}

// prefixOf is the prefix of a fingerprint.
func (l layout) prefixOf(f *hapax.Fingerprint) uint64 {
	return binary.BigEndian.Uint64(f[:8]) >> (64 - 8*l.prefix)
}

// stepLength is the bytes that a step takes.
func stepLength(step uint64) int { return (bits.Len64(step|1) + 6) / 7 }

// encode fills a page of zeros with entries, which are in order and fit it. It
// leaves the checksum out.
func (l layout) encode(page []byte, entries []Entry) {
	at, last := pageHead, uint64(0)
	for i := range entries {
		f := entries[i].Key.Fingerprint()
		prefix := l.prefixOf(&f)
		at += binary.PutUvarint(page[at:], prefix-last)
		last = prefix
	}
	binary.LittleEndian.PutUint16(page[4:], uint16(len(entries)))
	binary.LittleEndian.PutUint16(page[6:], uint16(at-pageHead))
	for i := range entries {
		f := entries[i].Key.Fingerprint()
		at += copy(page[at:], f[l.prefix:])
	}
	if l.digests {
		for i := range entries {
			binary.LittleEndian.PutUint64(page[at:], uint64(entries[i].Digest))
			at += digestSize
		}
	}
	if l.index == 0 {
		return
	}
	for i := range entries {
		bit := i * l.index
		v := uint16(entries[i].Generation) << (bit % 8)
		page[at+bit/8] |= byte(v)
		if v > 0xff {
			page[at+bit/8+1] |= byte(v >> 8)
		}
	}
}

// view is the columns of a page.
type view struct {
	layout
	n       int
	steps   []byte
	rests   []byte
	sums    []byte // digests
	indexes []byte
}

// view cuts a page into its columns; false means that they do not fit.
func (l layout) view(page []byte) (v view, ok bool) {
	v.layout, v.n = l, int(binary.LittleEndian.Uint16(page[4:]))
	steps := int(binary.LittleEndian.Uint16(page[6:]))
	end := l.length(v.n, steps)
	if end > len(page) || steps < v.n {
		return v, false
	}
	b := page[pageHead:end]
	v.steps, b = b[:steps], b[steps:]
	v.rests, b = b[:v.n*l.rest()], b[v.n*l.rest():]
	if l.digests {
		v.sums, b = b[:v.n*digestSize], b[v.n*digestSize:]
	}
	v.indexes = b
	return v, true
}

// walk calls visit with the prefix of each entry until it returns false. It
// tells whether the steps make sense as far as it went.
func (v *view) walk(visit func(i int, prefix uint64) bool) bool {
	steps, prefix := v.steps, uint64(0)
	for i := range v.n {
		step, n := binary.Uvarint(steps)
		if n <= 0 || step > 1<<(8*v.prefix)-1-prefix {
			return false
		}
		steps, prefix = steps[n:], prefix+step
		if !visit(i, prefix) {
			return true
		}
	}
	return len(steps) == 0
}

// entry is entry i, whose prefix is known.
func (v *view) entry(i int, prefix uint64) (e Entry) {
	var f hapax.Fingerprint
	binary.BigEndian.PutUint64(f[:8], prefix<<(64-8*v.prefix))
	copy(f[v.prefix:], v.rests[i*v.rest():(i+1)*v.rest()])
	e.Key = window.KeyOf(f)
	if v.digests {
		e.Digest = hapax.Digest(binary.LittleEndian.Uint64(v.sums[i*digestSize:]))
	}
	if bit := i * v.index; v.index > 0 {
		w := uint16(v.indexes[bit/8])
		if bit/8+1 < len(v.indexes) {
			w |= uint16(v.indexes[bit/8+1]) << 8
		}
		e.Generation = uint8(w >> (bit % 8) & (1<<v.index - 1))
	}
	return e
}

// entries appends all entries to dst; false means that they make no sense.
func (v *view) entries(dst []Entry) ([]Entry, bool) {
	ok := v.walk(func(i int, prefix uint64) bool {
		dst = append(dst, v.entry(i, prefix))
		return true
	})
	return dst, ok
}

// find looks a key up; ok is false if the page makes no sense.
func (v *view) find(k window.Key) (e Entry, found, ok bool) {
	f := k.Fingerprint()
	want := v.prefixOf(&f)
	ok = v.walk(func(i int, prefix uint64) bool {
		if prefix < want {
			return true
		}
		if prefix == want && f[v.prefix] == v.rests[i*v.rest()] {
			e = v.entry(i, prefix)
			found = e.Key == k
		}
		return !found && prefix == want
	})
	return e, found, ok
}
