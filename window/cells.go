package window

import "unsafe"

// cells is the memory of a table: buckets of two lines of entries and, of a table that
// keeps a word beside each, a third line with their words, so that all that is of a key
// is near each other:
//
//	lines   │ entries │ entries │ words │ entries │ entries │ words │ …
//	bucket  └───────────── 0 ───────────┘└───────────── 1 ───────────┘
type cells struct {
	lines  []Line
	beside uint32 // all ones if there are words, else zero
}

// Line is four entries of two words, or the words beside eight: one cache line.
type Line [8]uint64

// bucket is the entries of two lines, of two words each.
type bucket [2 * slots]uint64

const (
	slots  = Slots
	inLine = 4 // entries a line
)

// Slots is how many entries a bucket has.
const Slots = 8

// Memory is where a table keeps its lines. The table never frees them.
type Memory interface {
	// Grow makes room for n lines in all, the added ones zeroed and the others
	// kept, and returns them. The lines may have moved.
	Grow(n int) ([]Line, error)
}

// Space is how many lines of memory so many of entries take.
func Space(lines int, beside bool) int {
	if beside {
		return lines + (lines+1)/2
	}
	return lines
}

// Place is where an entry stands until the table next changes.
type Place struct {
	bucket uint32
	slot   uint8 // spilledSlot: among the spilled
}

// spilledSlot says that an entry found no place in the lines.
const spilledSlot = slots

// at is where a bucket's first line is in memory.
func (c *cells) at(b uint32) uint32 { return 2*b + b&c.beside }

func (c *cells) bucket(b uint32) *bucket {
	at := c.at(b)
	return (*bucket)(unsafe.Pointer((*[2]Line)(c.lines[at : at+2])))
}

// word is the word beside an entry.
func (c *cells) word(p Place) *uint64 { return &c.lines[c.at(p.bucket)+2][p.slot] }

// put writes an entry.
func (c *cells) put(p Place, k Key, number uint8) {
	b := c.bucket(p.bucket)
	b[2*p.slot] = k.home
	b[2*p.slot+1] = k.rest | uint64(number)
}

// key is the key in a slot, of shard s.
func (c *cells) key(s uint8, p Place) (Key, uint8) {
	b := c.bucket(p.bucket)
	w := b[2*p.slot+1]
	return Key{home: b[2*p.slot], rest: w &^ numberBits, shard: s}, uint8(w)
}

// move moves an entry, and what is beside it.
func (c *cells) move(from, to Place) {
	f, b := c.bucket(from.bucket), c.bucket(to.bucket)
	b[2*to.slot], b[2*to.slot+1] = f[2*from.slot], f[2*from.slot+1]
	if c.beside != 0 {
		*c.word(to) = *c.word(from)
	}
}

// side is the word beside an entry, 0 if there are none.
func (c *cells) side(p Place) uint64 {
	if c.beside == 0 {
		return 0
	}
	return *c.word(p)
}

// load asks for buckets, and for what is beside their entries, without waiting for
// them: the misses overlap, as many as the processor can have.
func (c *cells) load(buckets []uint32) {
	if len(buckets) > 0 {
		loadBuckets(&c.lines[0], c.beside, &buckets[0], len(buckets))
	}
}

// loadRun is load of n buckets from one on.
func (c *cells) loadRun(from uint32, n int) {
	var at [1 << (fullBits - 1)]uint32
	for i := range n {
		at[i] = from + uint32(i)
	}
	c.load(at[:n])
}

// vacant is the slots of a bucket that hold no live entry, a bit each.
func vacant(b *bucket, live *Live) uint8 {
	return not(live[uint8(b[1])]) | not(live[uint8(b[3])])<<1 | not(live[uint8(b[5])])<<2 | not(live[uint8(b[7])])<<3 |
		not(live[uint8(b[9])])<<4 | not(live[uint8(b[11])])<<5 | not(live[uint8(b[13])])<<6 | not(live[uint8(b[15])])<<7
}

// empty is the slots of a bucket that hold no entry, live or not, a bit each.
func empty(b *bucket) (free uint8) {
	for slot := range slots {
		free |= not(uint8(b[2*slot+1]) != 0) << slot
	}
	return free
}

func not(b bool) uint8 {
	if b {
		return 0
	}
	return 1
}
