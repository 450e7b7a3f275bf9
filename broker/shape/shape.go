// Package shape knows how requests are laid out in bytes, and checks bytes against
// that before anybody decodes them.
//
// A decoder trusts counts: of elements, of tags. One that stands in a short frame
// and says four billion costs memory, or a minute of a processor. [Shape.Check]
// walks over a frame, believes no count that the bytes left cannot hold, and adds
// up what the decoded request will take.
//
// How a request is laid out is learnt from package kmsg, which has it only as code:
// see [Of]. So whatever kmsg encodes is what is walked over, and a newer kmsg
// brings newer versions by itself.
//
// A Shape is never changed; it is safe for concurrent use.
package shape

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrShape says that bytes are not laid out as the request they claim to be, or
// would take too much when they are decoded.
var ErrShape = errors.New("not a request of its kind")

// What a decoded request may take, beside the bytes of its frame.
const (
	maxMemory = 32 << 20 // bytes of its structures
	maxTags   = 256      // that are not known: clients send none (KIP-482 lets them)
)

// notThere is the byte in place of an optional structure. Any other is followed by
// one.
const notThere = 0xff

// Shape is how the requests of one kind and version are laid out.
type Shape struct {
	flexible bool // lengths are varints, structures end with tags (KIP-482)
	body     field
}

type kind uint8

const (
	absent   kind = iota // the version does not have it
	fixed                // size bytes
	text                 // a length and bytes; 16 bits of length if it is not flexible
	blob                 // the same with 32 bits
	array                // a count and elements
	group                // a structure
	optional             // a structure behind a byte that tells whether it is there
	tagged               // it stands in the tags of its structure
)

// field is one part of a request.
type field struct {
	kind   kind
	size   int      // of fixed: its bytes
	parts  []field  // of an array its element; of a structure what it has, in order
	memory int      // bytes that it takes decoded, without what it points to
	least  int      // bytes that it has at least
	tag    uint32   // of tagged: its number
	closed []uint32 // of a structure: tags that hold structures, which no client sends
}

// Check reports whether a request's body, behind its header, can be decoded at
// little cost: its time and the memory that decoding takes are bounded by its
// length. It does not say that the request makes sense. What follows the body is
// ignored, as decoders do.
func (s *Shape) Check(body []byte) error {
	w := walk{rest: body, flexible: s.flexible}
	w.over(&s.body)
	return w.err
}

// walk is on its way over a body. After an error it stands at the end.
type walk struct {
	rest     []byte
	flexible bool
	memory   int
	tags     uint64
	err      error
}

func (w *walk) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("%w: %s", ErrShape, fmt.Sprintf(format, args...))
	}
	w.rest = nil
}

func (w *walk) skip(n int) {
	if n > len(w.rest) {
		w.fail("%d bytes are to follow, and %d are left", n, len(w.rest))
		return
	}
	w.rest = w.rest[n:]
}

func (w *walk) over(f *field) {
	switch f.kind {
	case fixed:
		w.skip(f.size)
	case text:
		w.skip(w.length(2))
	case blob:
		w.skip(w.length(4))
	case array:
		w.elements(&f.parts[0], w.length(4))
	case optional:
		there := len(w.rest) == 0 || w.rest[0] != notThere
		if w.skip(1); there {
			w.take(f.memory)
			w.structure(f)
		}
	case group:
		w.structure(f)
	}
}

// elements walks over those of an array.
func (w *walk) elements(f *field, count int) {
	if count > len(w.rest)/max(f.least, 1) {
		w.fail("%d elements of %d bytes at least in %d", count, f.least, len(w.rest))
		return
	}
	w.take(count * f.memory)
	if f.kind == fixed {
		w.skip(count * f.size)
		return
	}
	for ; count > 0 && w.err == nil; count-- {
		w.over(f)
	}
}

// take adds to what the decoded request takes.
func (w *walk) take(memory int) {
	if w.memory += memory; w.memory > maxMemory {
		w.fail("more than %d bytes when it is decoded", maxMemory)
	}
}

func (w *walk) structure(f *field) {
	for i := range f.parts {
		w.over(&f.parts[i])
	}
	if w.flexible {
		w.overTags(f.closed)
	}
}

func (w *walk) overTags(closed []uint32) {
	count := w.uvarint()
	if w.tags += count; w.tags > maxTags {
		w.fail("%d tags", w.tags)
	}
	for ; count > 0 && w.err == nil; count-- {
		if tag := w.uvarint(); slices.Contains(closed, uint32(tag)) {
			w.fail("tag %d, which is for replicas", tag)
		}
		w.skip(int(w.uvarint()))
	}
}

// length is that of what follows, of so many bytes if it is not flexible. One that
// is negative says that there is nothing.
func (w *walk) length(bytes int) int {
	if w.flexible {
		return max(int(w.uvarint())-1, 0)
	}
	if len(w.rest) < bytes {
		w.skip(bytes)
		return 0
	}
	n := int(int16(binary.BigEndian.Uint16(w.rest)))
	if bytes == 4 {
		n = int(int32(binary.BigEndian.Uint32(w.rest)))
	}
	w.skip(bytes)
	return max(n, 0)
}

func (w *walk) uvarint() uint64 {
	v, n := binary.Uvarint(w.rest)
	if n <= 0 || v > math.MaxUint32 {
		w.fail("a length is cut off or too large")
		return 0
	}
	w.rest = w.rest[n:]
	return v
}
