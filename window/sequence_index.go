package window

import (
	"encoding/binary"
	"math/bits"

	"github.com/hapaxmq/hapax"
)

// sequenceShard is a part of the index.
type sequenceShard struct {
	tags  []uint8 // of each place, and eight zeros
	rows  []uint32
	homes int
	used  int
}

const (
	shardProducers = 1 << 9
	maxShards      = 1 << 16
)

// ProducerKey is a producer's fingerprint as one set of [Sequences] holds it.
type ProducerKey struct {
	shard     int
	high, low uint64

	// What Seek saw of it, which may have changed since.
	at    uint32 // home
	row   uint32
	match uint64
}

// Key splits a producer's fingerprint.
func (s *Sequences) Key(f hapax.Fingerprint) ProducerKey {
	k := ProducerKey{high: binary.BigEndian.Uint64(f[:8]), low: binary.BigEndian.Uint64(f[8:])}
	shard, _ := bits.Mul64(k.high, uint64(len(s.shards)))
	k.shard = int(shard)
	return k
}

// tag is what a key's place is marked with.
func (k ProducerKey) tag() uint8 { return uint8(k.low) | 0x80 }

// home is the place where a key would like to be.
func (sh *sequenceShard) home(low uint64) int {
	at, _ := bits.Mul64(low, uint64(sh.homes))
	return int(at)
}

const (
	eachByte = 0x0101010101010101
	topBits  = 0x80 * eachByte
)

// matching sets the top bit of each of eight tags that is as wanted, and of some
// others that are not vacant.
func matching(tags uint64, tag uint8) uint64 {
	x := tags ^ uint64(tag)*eachByte
	return (x - eachByte) &^ x & topBits
}

// Seek looks for the rows of the producers that Admit is about to be asked of,
// so that the cache misses of a batch overlap: each pass over the keys loads one
// thing for all of them.
func (s *Sequences) Seek(keys []ProducerKey) {
	for i := range keys {
		k := &keys[i]
		sh := &s.shards[k.shard]
		k.at = uint32(sh.home(k.low))
		k.match = matching(binary.LittleEndian.Uint64(sh.tags[k.at:]), k.tag())
	}
	for i := range keys {
		k := &keys[i]
		k.row = 0
		if k.match != 0 {
			k.row = s.shards[k.shard].rows[int(k.at)+bits.TrailingZeros64(k.match)/8]
		}
	}
	if s.made == 0 {
		return
	}
	for i := range keys {
		r := s.row(keys[i].row)
		s.loaded ^= r[rowLow] ^ r[rowRing]
	}
}

// find returns the number of the producer's row, and whether there is one.
func (s *Sequences) find(k ProducerKey) (n uint32, ok bool) {
	if int(k.row) < s.made {
		if r := s.row(k.row); r[rowLow] == k.low && r[rowHigh] == k.high && r[rowMeta]&inUse != 0 {
			return k.row, true
		}
	}
	sh := &s.shards[k.shard]
	tag := k.tag()
	for at := sh.home(k.low); ; at += 8 {
		tags := binary.LittleEndian.Uint64(sh.tags[at:])
		for match := matching(tags, tag); match != 0; match &= match - 1 {
			n := sh.rows[at+bits.TrailingZeros64(match)/8]
			if r := s.row(n); r[rowLow] == k.low && r[rowHigh] == k.high {
				return n, true
			}
		}
		if ^tags&topBits != 0 {
			return 0, false
		}
	}
}

// makePlace returns a vacant place for a key, growing its shard if it is full.
// Fingerprints that are hashes spread; some that do not must not make it grow
// for ever.
func (s *Sequences) makePlace(k ProducerKey) (int, error) {
	sh := &s.shards[k.shard]
	for homes := sh.homes; ; {
		if sh.used < sh.homes*3/4 {
			if at, ok := sh.vacant(k.low); ok {
				return at, nil
			}
		}
		if homes > 256 && sh.used < homes/4 {
			return 0, ErrCrowded
		}
		homes += homes/4 + 4
		s.spread(sh, homes)
	}
}

// vacant is the first place from a key's home that is vacant, if there is one.
func (sh *sequenceShard) vacant(low uint64) (at int, ok bool) {
	for at = sh.home(low); ; at += 8 {
		if free := ^binary.LittleEndian.Uint64(sh.tags[at:]) & topBits; free != 0 {
			at += bits.TrailingZeros64(free) / 8
			return at, at < len(sh.rows)
		}
	}
}

// spread gives a shard so many homes, unless its rows do not fit them.
func (s *Sequences) spread(sh *sequenceShard, homes int) {
	places := homes + homes/32 + 4
	to := sequenceShard{tags: make([]uint8, places+8), rows: make([]uint32, places), homes: homes, used: sh.used}
	for from, n := range sh.rows {
		if sh.tags[from] == 0 {
			continue
		}
		at, ok := to.vacant(s.row(n)[rowLow])
		if !ok {
			return
		}
		to.tags[at], to.rows[at] = sh.tags[from], n
	}
	*sh = to
}
