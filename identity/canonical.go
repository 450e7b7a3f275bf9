package identity

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"sync"
)

// AppendCanonical appends the canonical form of the JSON text to dst: RFC 8785
// (members sorted, no white space, one way to write a string), but for numbers,
// which keep their exact decimal value: 1, 1.0 and 1e0 are one, and
// 9007199254740993 is not 9007199254740992.
//
// It returns [hapax.ErrMalformed], and dst as it was, if the text is not JSON
// or has no canonical form: a repeated name, invalid UTF-8, half a surrogate
// pair, more than 512 levels, or an exponent beyond ±999,999,999.
//
// The result is longer than the text by at most 17 bytes a number (1e20 is
// written out). The time is linear, but for sorting members and moving each byte
// once a level where they are out of order. It allocates nothing if dst has room,
// keeps neither slice, and is safe for concurrent use.
func AppendCanonical(dst, json []byte) ([]byte, error) {
	dst, f := canonicalise(dst, json, nil)
	if f.what != "" {
		return dst, f.err()
	}
	return dst, nil
}

// canonicalise appends the canonical form of the JSON text to dst, but for the
// members and elements that without names.
func canonicalise(dst, json []byte, without []field) ([]byte, fault) {
	c := canonicalisers.Get().(*canonicaliser)
	defer c.free()
	c.text, c.out = json, dst
	if c.end(c.write(c.space(0), 0, without)) < 0 {
		return c.out[:len(dst)], c.fault
	}
	return c.out, fault{}
}

// canonicalisers keeps scratch memory between calls; it holds no state.
var canonicalisers = sync.Pool{New: func() any { return new(canonicaliser) }}

// maxScratch is how much scratch memory, in members and in bytes, is worth
// keeping.
const maxScratch = 1 << 20

// canonicaliser writes the canonical form while it reads: a member goes out as
// it comes, and if at an object's end they were not in order, their texts change
// places.
type canonicaliser struct {
	scanner
	out     []byte
	members []member // of the objects being read, innermost last
	spare   []byte   // an object's text while its members change places
}

// member is `"name":value,` at out[start:end], its name ending at nameEnd.
type member struct {
	start, nameEnd, end int
	prefix              uint64 // the name's first eight bytes
	plain               bool   // the name is ASCII without escapes: it sorts by its bytes
	at                  int    // where it stands in the text
}

func (c *canonicaliser) free() {
	if cap(c.members) > maxScratch/32 || cap(c.spare) > maxScratch {
		return
	}
	*c = canonicaliser{members: c.members[:0], spare: c.spare[:0]}
	canonicalisers.Put(c)
}

// write writes the value at i, inside of depth others, and returns the offset
// behind it.
func (c *canonicaliser) write(i, depth int, without []field) int {
	if i >= len(c.text) {
		return c.fail(i, "want a value")
	}
	switch c.text[i] {
	case '{':
		return c.writeObject(i, depth, without)
	case '[':
		return c.writeArray(i, depth, without)
	case '"':
		end, holds := c.str(i)
		if end < 0 {
			return -1
		}
		return c.writeString(i, end, holds)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return c.writeNumber(i)
	}
	end := c.literal(i)
	if end >= 0 {
		c.out = append(c.out, c.text[i:end]...)
	}
	return end
}

func (c *canonicaliser) writeObject(i, depth int, without []field) int {
	start, base := len(c.out), len(c.members)
	c.out = append(c.out, '{')
	var seen fieldSet
	i, more := c.open(i, '}', depth)
	for more {
		n, ok := c.name(i)
		if !ok {
			return -1
		}
		var f *field
		if len(without) > 0 {
			if f = c.match(without, n); f != nil && !seen.add(f) {
				return c.refuse(i, "repeated name")
			}
		}
		if i = c.writeMember(n, depth, f); i < 0 {
			return -1
		}
		i, more = c.next(i, '}')
	}
	if i < 0 || !c.order(start, base) {
		return -1
	}
	c.members = c.members[:base]
	c.close(start, '}')
	return i
}

// writeMember writes the member called n, unless f, the field of that name if one
// is mentioned, is left out. It returns the offset behind the value.
func (c *canonicaliser) writeMember(n name, depth int, f *field) int {
	if f.leftOut() {
		return c.skip(n.value, depth+1)
	}
	m := member{start: len(c.out), at: n.start}
	if c.writeString(n.start, n.end, n.holds) < 0 {
		return -1
	}
	m.nameEnd = len(c.out)
	if m.plain = n.holds == 0; m.plain {
		m.prefix = namePrefix(c.text[n.start+1:], n.end-n.start-len(`""`))
	}
	c.out = append(c.out, ':')
	k := len(c.members)
	c.members = append(c.members, m)
	end := c.write(n.value, depth+1, f.fields())
	if end < 0 {
		return -1
	}
	c.out = append(c.out, ',')
	c.members[k].end = len(c.out)
	return end
}

func (c *canonicaliser) writeArray(i, depth int, without []field) int {
	start := len(c.out)
	c.out = append(c.out, '[')
	i, more := c.open(i, ']', depth)
	for n := 0; more; n++ {
		var f *field
		if len(without) > 0 {
			f = matchIndex(without, n)
		}
		if f.leftOut() {
			i = c.skip(i, depth+1)
		} else {
			i = c.write(i, depth+1, f.fields())
			c.out = append(c.out, ',')
		}
		if i < 0 {
			return -1
		}
		i, more = c.next(i, ']')
	}
	c.close(start, ']')
	return i
}

// close ends the object or array that begins at out[start], in place of the
// last comma if there is one.
func (c *canonicaliser) close(start int, closing byte) {
	if last := len(c.out) - 1; last > start {
		c.out[last] = closing
	} else {
		c.out = append(c.out, closing)
	}
}

// writeString writes the string text[i:end], of which it is known what it holds.
func (c *canonicaliser) writeString(i, end, holds int) int {
	if holds&hasEscape == 0 {
		c.out = append(c.out, c.text[i:end]...)
		return end
	}
	for end--; ; { // the closing quote is written below
		n := bytes.IndexByte(c.text[i:end], '\\')
		if n < 0 {
			c.out = append(c.out, c.text[i:end+1]...)
			return end + 1
		}
		c.out = append(c.out, c.text[i:i+n]...)
		i += n
		r, n := decodeEscape(c.text[i:end])
		if r == noRune {
			return c.refuse(i, "half a surrogate pair")
		}
		c.out = appendEscaped(c.out, r)
		i += n
	}
}

func (c *canonicaliser) writeNumber(i int) int {
	end, plain := c.number(i)
	if end < 0 {
		return -1
	}
	num := c.text[i:end]
	if plain && isCanonical(num) {
		c.out = append(c.out, num...)
		return end
	}
	var ok bool
	if c.out, ok = appendNumber(c.out, num); !ok {
		return c.refuse(i, "number out of bounds")
	}
	return end
}

// order puts the members of the object that begins at out[start] in order.
// They are members[base:]. It is false, and the fault noted, if a name is
// repeated.
func (c *canonicaliser) order(start, base int) bool {
	members := c.members[base:]
	if c.ascending(members) {
		return true
	}
	slices.SortFunc(members, func(a, b member) int { return c.compare(&a, &b) })
	if !c.ascending(members) {
		return false
	}
	start++ // behind the brace
	c.spare = append(c.spare[:0], c.out[start:]...)
	c.out = c.out[:start]
	for i := range members {
		m := &members[i]
		c.out = append(c.out, c.spare[m.start-start:m.end-start]...)
	}
	return true
}

// ascending reports whether each name is above the one before it. If two are
// equal, it notes the fault.
func (c *canonicaliser) ascending(members []member) bool {
	for i := 1; i < len(members); i++ {
		a, b := &members[i-1], &members[i]
		if order := c.compare(a, b); order >= 0 {
			if order == 0 {
				c.refuse(max(a.at, b.at), "repeated name")
			}
			return false
		}
	}
	return true
}

func (c *canonicaliser) compare(a, b *member) int {
	nameA, nameB := c.out[a.start+1:a.nameEnd-1], c.out[b.start+1:b.nameEnd-1]
	switch {
	case !a.plain || !b.plain:
		return compareNames(nameA, nameB)
	case a.prefix != b.prefix:
		return cmp.Compare(a.prefix, b.prefix)
	}
	return bytes.Compare(nameA, nameB)
}

// namePrefix is the first eight bytes of the name text[:n] as a number that
// sorts like them. A shorter name, which holds no zero byte, is filled up with
// zeros.
func namePrefix(text []byte, n int) uint64 {
	if len(text) >= 8 {
		unused := 64 - 8*min(n, 8)
		return binary.BigEndian.Uint64(text) >> unused << unused
	}
	var name [8]byte
	copy(name[:], text[:n])
	return binary.BigEndian.Uint64(name[:])
}
