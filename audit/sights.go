package audit

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/hapaxmq/hapax"
)

// sights are the first sights of all identities, in order of arrival, and an
// index to find them by fingerprint.
//
//	blocks   256 sights of 32 bytes each, their places relative to the block's
//	index    256 shards by the fingerprint's first byte, open addressing with
//	         linear probing; a slot is a one-byte tag and a sight's number
//
// A sight costs 32 bytes and a slot 5; a shard is full at 7/8 and grows by a
// third, alone, so the whole is at most 40 bytes a sight once there are a
// hundred thousand.
type sights struct {
	blocks []block
	index  [256]shard
	slots  int64 // in all shards
}

const blockSights = 256

// block is a run of sights. It is closed before it is full if a place would no
// longer fit 32 bits.
type block struct {
	start  place
	n      int
	sights *[blockSights]sight
}

type sight struct {
	fingerprint hapax.Fingerprint
	digest      uint32
	clock       uint32 // this and the next two: since the block's start
	message     uint32
	offset      uint32
}

type shard struct {
	tags    []byte // zero if the slot is free
	numbers []uint32
	n       int
}

func tag(f *hapax.Fingerprint) byte { return max(f[9], 1) }

// home is the slot where the search for f starts.
func (s *shard) home(f *hapax.Fingerprint) int {
	high, _ := bits.Mul64(binary.BigEndian.Uint64(f[1:9]), uint64(len(s.tags)))
	return int(high)
}

// find returns the number of f's sight.
func (s *sights) find(f hapax.Fingerprint) (number uint32, ok bool) {
	shard := &s.index[f[0]]
	if shard.n == 0 {
		return 0, false
	}
	want := tag(&f)
	for i := shard.home(&f); shard.tags[i] != 0; {
		if shard.tags[i] == want {
			if n := shard.numbers[i]; *s.fingerprint(n) == f {
				return n, true
			}
		}
		if i++; i == len(shard.tags) {
			i = 0
		}
	}
	return 0, false
}

func (s *sights) fingerprint(number uint32) *hapax.Fingerprint {
	return &s.blocks[number/blockSights].sights[number%blockSights].fingerprint
}

// at returns a sight's place and digest.
func (s *sights) at(number uint32) (place, uint32) {
	b := &s.blocks[number/blockSights]
	e := &b.sights[number%blockSights]
	return b.place(e), e.digest
}

func (b *block) place(e *sight) place {
	return place{
		clock:   b.start.clock + int64(e.clock),
		message: b.start.message + int64(e.message),
		offset:  b.start.offset + int64(e.offset),
	}
}

// add takes in a fingerprint that find does not know.
func (s *sights) add(f hapax.Fingerprint, digest uint32, at place) error {
	b, err := s.open(at)
	if err != nil {
		return err
	}
	number := uint32(len(s.blocks)-1)*blockSights + uint32(b.n)
	b.sights[b.n] = sight{
		fingerprint: f,
		digest:      digest,
		clock:       uint32(at.clock - b.start.clock),
		message:     uint32(at.message - b.start.message),
		offset:      uint32(at.offset - b.start.offset),
	}
	b.n++
	shard := &s.index[f[0]]
	if shard.n >= len(shard.tags)/8*7 {
		before := len(shard.tags)
		s.grow(shard)
		s.slots += int64(len(shard.tags) - before)
	}
	shard.put(shard.home(&f), tag(&f), number)
	return nil
}

// open returns a block with room for a sight at that place.
func (s *sights) open(at place) (*block, error) {
	if n := len(s.blocks); n > 0 {
		b := &s.blocks[n-1]
		far := max(at.clock-b.start.clock, at.message-b.start.message, at.offset-b.start.offset)
		if b.n < blockSights && far <= math.MaxUint32 {
			return b, nil
		}
		if n > math.MaxUint32/blockSights {
			return nil, fmt.Errorf("audit message %d: 2^32 identities are the most that an audit tells apart: audit a part: %w",
				at.message+1, hapax.ErrFull)
		}
	}
	s.blocks = append(s.blocks, block{start: at, sights: new([blockSights]sight)})
	return &s.blocks[len(s.blocks)-1], nil
}

// put fills the first free slot from home on; there must be one.
func (s *shard) put(home int, tag byte, number uint32) {
	i := home
	for s.tags[i] != 0 {
		if i++; i == len(s.tags) {
			i = 0
		}
	}
	s.tags[i], s.numbers[i] = tag, number
	s.n++
}

// grow makes a shard larger by a third. Fingerprints are read in batches ahead
// of their use: each is a cache miss, and so they overlap.
func (s *sights) grow(old *shard) {
	size := len(old.tags) + max(len(old.tags)/24*8, 16) // in eights
	grown := shard{tags: make([]byte, size), numbers: make([]uint32, size)}
	var homes [64]int
	for from := 0; from < len(old.tags); from += len(homes) {
		to := min(from+len(homes), len(old.tags))
		for i, t := range old.tags[from:to] {
			if t != 0 {
				homes[i] = grown.home(s.fingerprint(old.numbers[from+i]))
			}
		}
		for i, t := range old.tags[from:to] {
			if t != 0 {
				grown.put(homes[i], t, old.numbers[from+i])
			}
		}
	}
	*old = grown
}

// memory is in bytes.
func (s *sights) memory() int64 {
	const sightSize, slotSize, blockSize = 32, 5, 40
	return int64(len(s.blocks))*blockSights*sightSize + int64(cap(s.blocks))*blockSize + s.slots*slotSize
}

// cursor walks over sights in order of arrival.
type cursor struct{ block, i int }

// more reports whether there is a sight at c.
func (s *sights) more(c cursor) bool { return c.block < len(s.blocks) }

func (s *sights) place(c cursor) place {
	b := &s.blocks[c.block]
	return b.place(&b.sights[c.i])
}

func (s *sights) after(c cursor) cursor {
	if c.i++; c.i == s.blocks[c.block].n {
		return cursor{block: c.block + 1}
	}
	return c
}
