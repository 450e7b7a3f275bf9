package window

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/hapaxmq/hapax"
)

// A Table is a set of fingerprints, each with the number of the generation that
// wrote it, in buckets of eight 16-byte entries: two cache lines each.
//
//	fingerprint  b0 │ b1 … b8        │ b9 … b15 │
//	             shard  word 0          word 1    ┼ generation number (1 byte)
//
// Byte 0 chooses one of 256 shards; the other fifteen are stored, so all 128
// bits decide. A shard is one or more blocks of 32 buckets. A key lives in one of two
// buckets of its shard, an even one by word 0 and an odd one by word 1: the first bits
// of the word choose the block, by a directory (see directory.go) that lets the table
// grow by a few blocks at a time, and the last bits the bucket. When both are full,
// entries of the two move to their other buckets (cuckoo hashing, Pagh and Rodler 2001;
// buckets of several, Dietzfelbinger and Weidling 2007). A look-up therefore reads two
// buckets and never more, however many entries have expired in between.
//
// An entry whose generation is not live counts as absent and its place as free.
// Number 0 is an empty place.
//
// A Table holds no lock. Calls for shards of one lock must not overlap; Step
// must hold the lock of the shard that Sweeping names.
type Table struct {
	grid
	spill [shards]map[Key]spilled // keys that found no place; nearly always empty
	sweep sweep
}

// ErrCrowded says that a key found no place in its neighbourhood: the table has
// to grow, or is at its limit.
var ErrCrowded = errors.New("window: no place left near the key")

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
// least, before it wants to grow, or for as many as go into limit lines. Beside each
// there may be a word.
func NewTable(mem Memory, beside bool, capacity, limit int) (*Table, error) {
	t := new(Table)
	l := layoutFor(int(float64(capacity)/(inLine*roomy)) + 2*shards)
	if l.Lines() > limit {
		l = largest(limit)
	}
	err := t.lay(mem, beside, l, newDirectory(l.Blocks))
	return t, err
}

// Find returns the place and the generation number of the key, live or not. A
// number of 0 means that the key is not there.
func (t *Table) Find(k Key) (Place, uint8) { return t.FindAt(k, t.Spot(k)) }

// FindAt is Find of a key whose spot is known.
func (t *Table) FindAt(k Key, s Spot) (Place, uint8) {
	if slot, number := find(t.bucket(s.home), k); number != 0 {
		return Place{s.home, slot}, number
	}
	if slot, number := find(t.bucket(s.other), k); number != 0 {
		return Place{s.other, slot}, number
	}
	if t.shards[k.shard].spills {
		return Place{slot: spilledSlot}, t.spill[k.shard][k].number
	}
	return Place{}, 0
}

func find(b *bucket, k Key) (slot, number uint8) {
	for slot := range uint8(slots) {
		if b[2*slot] == k.home && b[2*slot+1]^k.rest <= numberBits && b[2*slot+1]&numberBits != 0 {
			return slot, uint8(b[2*slot+1])
		}
	}
	return 0, 0
}

// AdmitAt is FindAt, and InsertAt if the key is not live: the main path. It
// returns the number of the live generation the key was found under, or 0 if it
// has just been added. [ErrCrowded] changes nothing.
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
// It overwrites an empty or expired place in the bucket that has more of them, or
// moves live entries to make one.
func (t *Table) Insert(k Key, number uint8, live *Live) (Place, error) {
	return t.InsertAt(k, t.Spot(k), number, live)
}

// InsertAt is Insert of a key whose spot is known.
func (t *Table) InsertAt(k Key, s Spot, number uint8, live *Live) (Place, error) {
	at := Place{bucket: s.home}
	free := vacant(t.bucket(s.home), live)
	if more := vacant(t.bucket(s.other), live); bits.OnesCount8(more) > bits.OnesCount8(free) {
		at.bucket, free = s.other, more
	}
	if free == 0 {
		var ok bool
		if at, ok = t.makeRoom(k.shard, s, live); !ok {
			return t.spillOver(k, number)
		}
	} else {
		at.slot = firstOf(free)
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
	return Place{slot: spilledSlot}, nil
}

// Mark rewrites the generation number of a key that was found; 0 removes it.
func (t *Table) Mark(k Key, p Place, number uint8) {
	if p.slot != spilledSlot {
		w := &t.bucket(p.bucket)[2*p.slot+1]
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
	if p.slot == spilledSlot {
		return t.spill[k.shard][k].side
	}
	return t.side(p)
}

// SetSide stores a word beside a key, if the table keeps them.
func (t *Table) SetSide(k Key, p Place, side uint64) {
	switch {
	case t.beside == 0:
	case p.slot == spilledSlot:
		t.spill[k.shard][k] = spilled{t.spill[k.shard][k].number, side}
	default:
		*t.word(p) = side
	}
}
