package window

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/hapaxmq/hapax"
)

// A Table is a set of fingerprints, each with the number of the generation that
// wrote it, in lines of four 16-byte entries: one cache line each.
//
//	fingerprint  b0 │ b1 … b8        │ b9 … b15 │
//	             shard  word 0          word 1    ┼ generation number (1 byte)
//
// Byte 0 chooses one of 256 shards; the other fifteen are stored, so all 128
// bits decide. A shard is one or more blocks of some thousand lines, chosen by
// the first bits of word 0, and blocks lie in the order of the keys, which lets
// the table grow in place by a sweep (see sweep.go). A key lives in one of two
// lines of its block, named by its own bits; when both are full, entries of the
// two move to their other lines (cuckoo hashing, Pagh and Rodler 2001; buckets
// of four, Dietzfelbinger and Weidling 2007). A look-up therefore reads two
// lines and never more, however many entries have expired in between.
//
// An entry whose generation is not live counts as absent and its place as free.
// Number 0 is an empty place.
//
// A Table holds no lock. Calls for shards of one lock must not overlap; Step
// must hold the lock of the shard that Sweeping names.
type Table struct {
	lines  []Line
	sides  []Side // beside the lines, or nil
	shards [shards]shard
	spill  [shards]map[Key]spilled // keys that found no place; nearly always empty

	mem   Memory
	now   Layout // of shards not yet swept
	next  Layout // of shards already swept
	sweep sweep
	epoch uint32

	absent absence // of a table that is being restored: see restore.go
}

// Line is four entries of two words: one cache line.
type Line [8]uint64

// Side is a word beside each entry of a line: the digest of its payload, or its
// place in an order.
type Side [4]uint64

const (
	shards     = 256
	slots      = 4    // entries a line
	numberBits = 0xff // of word 1
)

// Memory is where a table keeps its lines. The table never frees them.
type Memory interface {
	// Grow makes room for n lines in all, the added ones zeroed and the others
	// kept, and returns them (and, if the memory has sides, as many of them).
	// The lines may have moved.
	Grow(n int) (lines []Line, sides []Side, err error)
}

// ErrCrowded says that a key found no place in its neighbourhood: the table has
// to grow, or is at its limit.
var ErrCrowded = errors.New("window: no place left near the key")

// Layout is how many blocks a shard has, and lines a block.
type Layout struct {
	Bits  uint8  // 2^Bits blocks a shard
	Block uint32 // lines a block
}

// longest is the number of lines from which a block is split. A block is moved
// under its lock in one step, which takes some hundred microseconds; smaller
// ones would fill more unevenly.
const longest = 2048

// layoutFor has at least that many lines a shard.
func layoutFor(lines int) Layout {
	var l Layout
	for lines>>l.Bits >= longest {
		l.Bits++
	}
	l.Block = uint32(max((lines+1<<l.Bits-1)>>l.Bits, 2))
	return l
}

// Blocks is the number of blocks of all shards.
func (l Layout) Blocks() int { return shards << l.Bits }

// Lines is the number of lines of all shards.
func (l Layout) Lines() int { return l.Blocks() * int(l.Block) }

// valid tells whether a table may be laid out so.
func (l Layout) valid() bool { return l.Bits < 24 && l.Block >= 2 && l.Block <= longest }

// blockOf is the block that holds the key, of all shards' blocks.
func (l Layout) blockOf(k Key) int {
	return int(k.shard)<<l.Bits | int(k.home>>(64-l.Bits))
}

// places returns the two lines the key may live in.
func (l Layout) places(k Key) (home, other int) {
	base := l.blockOf(k) * int(l.Block)
	home = l.line(k)
	return base + home, base + l.second(k, home)
}

// line is the first of the key's two lines, within its block.
func (l Layout) line(k Key) int {
	at, _ := bits.Mul64(k.home<<l.Bits, uint64(l.Block))
	return int(at)
}

// second is the other line of a key whose first is known: never the same.
func (l Layout) second(k Key, first int) int {
	to := first + 1 + int(k.rest>>32*uint64(l.Block-1)>>32)
	if to >= int(l.Block) {
		to -= int(l.Block)
	}
	return to
}

type shard struct {
	Layout
	moving bool  // some of its blocks are already laid out anew: see sweep.go
	spills bool  // some keys are in the table's spill
	absent int32 // blocks yet to be fetched: see restore.go
}

// spilled is what an entry's place would hold.
type spilled struct {
	number uint8
	side   uint64
}

// maxSpill bounds the keys of one shard that found no place. Random keys need
// none; a few thousand keys of one neighbourhood are no accident.
const maxSpill = 1 << 12

// Key is a fingerprint as the table stores it.
type Key struct {
	home  uint64 // word 0
	rest  uint64 // word 1, generation byte zero
	shard uint8
}

// KeyOf splits a fingerprint.
func KeyOf(f hapax.Fingerprint) Key {
	hi, lo := binary.BigEndian.Uint64(f[:8]), binary.BigEndian.Uint64(f[8:])
	return Key{home: hi<<8 | lo>>56, rest: lo << 8, shard: uint8(hi >> 56)}
}

// Fingerprint puts the key together again.
func (k Key) Fingerprint() (f hapax.Fingerprint) {
	f[0] = k.shard
	binary.BigEndian.PutUint64(f[1:9], k.home)
	var low [8]byte
	binary.BigEndian.PutUint64(low[:], k.rest)
	copy(f[9:], low[:7])
	return f
}

// MakeKey is a key by its parts, as Shard and Words give them.
func MakeKey(shard uint8, home, rest uint64) Key { return Key{home: home, rest: rest, shard: shard} }

// Words are bytes 1 to 8 of the fingerprint, and 9 to 15 with a zero behind.
func (k Key) Words() (home, rest uint64) { return k.home, k.rest }

// Shard is the shard that holds the key.
func (k Key) Shard() uint8 { return k.shard }

// NewTable returns a table with room for capacity keys, and for a thousand at
// least, before it wants to grow.
func NewTable(mem Memory, capacity int) (*Table, error) {
	t := &Table{mem: mem, now: layoutFor(int(float64(capacity)/(shards*slots*roomy)) + 2)}
	t.next = t.now
	lines, sides, err := mem.Grow(t.now.Lines())
	if err != nil {
		return nil, err
	}
	t.lines, t.sides = lines, sides
	for s := range t.shards {
		t.shards[s].Layout = t.now
	}
	return t, nil
}

// Capacity is the number of keys the table takes before it wants to grow.
func (t *Table) Capacity() int {
	return int(float64(t.now.Lines()) * slots * fullest)
}

// Lines is the number of lines, but for those of a growth under way.
func (t *Table) Lines() int { return t.now.Lines() }

// Bytes is the memory the table's lines take, the growth under way included.
func (t *Table) Bytes() int64 {
	per := int64(len(Line{}) * 8)
	if t.sides != nil {
		per += slots * 8
	}
	return per * int64(t.next.Lines())
}

// places returns the two lines the key may live in.
func (t *Table) places(k Key) (home, other int) {
	sh := &t.shards[k.shard]
	if sh.moving && sh.blockOf(k) >= t.sweep.edge {
		return t.next.places(k)
	}
	if sh.absent > 0 {
		t.need(sh.blockOf(k))
	}
	return sh.places(k)
}

// Spot is the two lines a key may live in, as long as the Epoch is the same.
type Spot struct{ home, other uint32 }

// Epoch changes when keys' spots do: with every step of a growth.
func (t *Table) Epoch() uint32 { return t.epoch }

// Spot finds a key's lines without reading them.
func (t *Table) Spot(k Key) Spot {
	home, other := t.places(k)
	return Spot{uint32(home), uint32(other)}
}

// Place is where an entry stands until the table next changes.
type Place struct {
	line int // -1: among the spilled
	slot int
}

// Find returns the place and the generation number of the key, live or not. A
// number of 0 means that the key is not there.
func (t *Table) Find(k Key) (Place, uint8) { return t.FindAt(k, t.Spot(k)) }

// FindAt is Find of a key whose spot is known.
func (t *Table) FindAt(k Key, s Spot) (Place, uint8) {
	if slot, number := find(&t.lines[s.home], k); number != 0 {
		return Place{int(s.home), slot}, number
	}
	if slot, number := find(&t.lines[s.other], k); number != 0 {
		return Place{int(s.other), slot}, number
	}
	if t.shards[k.shard].spills {
		return Place{line: -1}, t.spill[k.shard][k].number
	}
	return Place{}, 0
}

func find(l *Line, k Key) (slot int, number uint8) {
	for slot := range slots {
		if l[2*slot] == k.home && l[2*slot+1]^k.rest <= numberBits && l[2*slot+1]&numberBits != 0 {
			return slot, uint8(l[2*slot+1])
		}
	}
	return 0, 0
}

// Live tells which generation numbers are live.
type Live [256]bool

// Admit is Find, and Insert if the key is not live: the main path. It returns
// the number of the live generation the key was found under, or 0 if it has just
// been added. [ErrCrowded] changes nothing.
func (t *Table) Admit(k Key, number uint8, live *Live) (Place, uint8, error) {
	return t.AdmitAt(k, t.Spot(k), number, live)
}

// AdmitAt is Admit of a key whose spot is known.
func (t *Table) AdmitAt(k Key, s Spot, number uint8, live *Live) (Place, uint8, error) {
	p, was := t.FindAt(k, s)
	if was == 0 {
		p, err := t.InsertAt(k, s, number, live)
		return p, 0, err
	}
	if live[was] {
		return p, was, nil
	}
	t.Mark(k, p, number)
	return p, 0, nil
}

// Insert adds a key that Find did not find, under a live generation's number.
// It overwrites an empty or expired place in the line that has more of them, or
// moves live entries to make one.
func (t *Table) Insert(k Key, number uint8, live *Live) (Place, error) {
	return t.InsertAt(k, t.Spot(k), number, live)
}

// InsertAt is Insert of a key whose spot is known.
func (t *Table) InsertAt(k Key, s Spot, number uint8, live *Live) (Place, error) {
	at := Place{line: int(s.home)}
	free := vacant(&t.lines[s.home], live)
	if more := vacant(&t.lines[s.other], live); bits.OnesCount8(more) > bits.OnesCount8(free) {
		at.line, free = int(s.other), more
	}
	if free == 0 {
		var ok bool
		if at, ok = t.makeRoom(k.shard, s, live); !ok {
			return t.spillOver(k, number)
		}
	} else {
		at.slot = bits.TrailingZeros8(free)
	}
	t.put(at, k, number)
	return at, nil
}

// spillOver takes a key that found no place, so that none is ever refused or
// lost while the table has yet to grow.
func (t *Table) spillOver(k Key, number uint8) (Place, error) {
	if len(t.spill[k.shard]) >= maxSpill {
		return Place{}, ErrCrowded
	}
	if t.spill[k.shard] == nil {
		t.spill[k.shard] = make(map[Key]spilled)
	}
	t.spill[k.shard][k] = spilled{number: number}
	t.shards[k.shard].spills = true
	return Place{line: -1}, nil
}

func (t *Table) put(p Place, k Key, number uint8) {
	l := &t.lines[p.line]
	l[2*p.slot] = k.home
	l[2*p.slot+1] = k.rest | uint64(number)
}

// vacant is the slots of a line that hold no live entry, a bit each.
func vacant(l *Line, live *Live) uint8 {
	return dead(live[uint8(l[1])]) | dead(live[uint8(l[3])])<<1 | dead(live[uint8(l[5])])<<2 | dead(live[uint8(l[7])])<<3
}

func dead(live bool) uint8 {
	if live {
		return 0
	}
	return 1
}

// Mark rewrites the generation number of a key that was found; 0 removes it.
func (t *Table) Mark(k Key, p Place, number uint8) {
	if p.line >= 0 {
		w := &t.lines[p.line][2*p.slot+1]
		*w = *w&^numberBits | uint64(number)
		return
	}
	if number == 0 {
		delete(t.spill[k.shard], k)
		return
	}
	t.spill[k.shard][k] = spilled{number, t.spill[k.shard][k].side}
}

// Side returns the word stored beside a key that was found, 0 if none is.
func (t *Table) Side(k Key, p Place) uint64 {
	switch {
	case t.sides == nil:
		return 0
	case p.line < 0:
		return t.spill[k.shard][k].side
	}
	return t.sides[p.line][p.slot]
}

// SetSide stores a word beside a key, if the table keeps them.
func (t *Table) SetSide(k Key, p Place, side uint64) {
	switch {
	case t.sides == nil:
	case p.line < 0:
		t.spill[k.shard][k] = spilled{t.spill[k.shard][k].number, side}
	default:
		t.sides[p.line][p.slot] = side
	}
}

// keyAt is the key of a slot in shard s.
func (t *Table) keyAt(s uint8, p Place) (Key, uint8) {
	l := &t.lines[p.line]
	w := l[2*p.slot+1]
	return Key{home: l[2*p.slot], rest: w &^ numberBits, shard: s}, uint8(w)
}
