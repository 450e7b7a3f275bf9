package window

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/hapaxmq/hapax"
)

// Sequences remember of each producer its epoch, its highest number and which
// of the numbers below have come: memory grows with producers, not with
// messages.
//
// A producer's row of words is in the shard that the upper half of its
// fingerprint chooses, at its home, which the lower half chooses, or at the first
// place behind it that was vacant. Beside the rows, a byte for each place holds
// seven bits of the fingerprint, or 0 where there is no row: a look-up reads
// eight of these at once and then, but for one in twenty, a single row. The
// bytes of a million producers stay in the cache, so that each message costs one
// miss, and those of a batch overlap.
//
// A shard grows by a quarter when it is 7/8 full. There are so many shards that
// none has much more than shardBytes to move, which takes some ten microseconds.
//
// It is pure and holds no lock: now comes in by [Sequences.Advance]. Calls must
// not overlap.
type Sequences struct {
	rules    SequenceRules
	disorder uint64
	stride   int // words a row
	shards   []sequenceShard
	used     int
	now      uint32 // seconds, modulo 68 years
	at       int64  // of which now was made: Unix seconds
	idle     int32  // seconds; 0: never
	slack    int32  // seconds that a row's last may lag behind
	cursor   struct{ shard, at int }

	track   bool
	touched []hapax.Fingerprint // rows with their changed bit set
}

type sequenceShard struct {
	tags  []uint8  // of each place, and eight zeros
	words []uint64 // rows
	homes int
	used  int
}

const (
	shardBytes = 128 << 10
	maxShards  = 1 << 16
)

// Producer is what is remembered of one.
type Producer struct {
	Fingerprint hapax.Fingerprint
	Epoch       uint32
	Highest     uint64
	Last        uint32   // when its last number came: Unix seconds, modulo 2^31
	Numbers     []uint64 // the ring of bits; of a strict sequence, the first number
}

// NewSequences returns an empty set. With track, [Sequences.Changed] tells which
// producers have changed. The rules must be valid.
func NewSequences(r SequenceRules, track bool) *Sequences {
	s := &Sequences{rules: r, disorder: uint64(r.Disorder), stride: rowRing + r.words(), track: track}
	n := r.Producers * s.stride * 8 / shardBytes
	s.shards = make([]sequenceShard, min(max(n, 1), maxShards))
	if r.Idle > 0 {
		s.idle = int32((r.Idle + time.Second - 1) / time.Second)
		s.slack = s.idle / 128
	}
	return s
}

// Len is the number of producers remembered, some of which may be idle by now.
func (s *Sequences) Len() int { return s.used }

// Bytes is the memory that rows and places take.
func (s *Sequences) Bytes() int64 {
	n := int64(0)
	for i := range s.shards {
		n += int64(cap(s.shards[i].words))*8 + int64(cap(s.shards[i].tags))
	}
	return n
}

// Advance moves time on to now, in Unix nanoseconds. It never goes back.
func (s *Sequences) Advance(now int64) {
	s.at = max(s.at, now/int64(time.Second))
	s.now = uint32(s.at) & lastMask
}

// Admit gives the verdict on a number, and remembers it if it is fresh.
//
// The first number of a producer, or of a higher epoch of it, may be any and is
// Fresh. A number of a lower epoch is Stale: its producer has been fenced. Of
// the highest number and those right below it, Disorder in all, each is Fresh
// once and a Duplicate from then on; one below these is Stale, for it may be a
// first copy. In strict order the number after the highest is Fresh, the ones
// from the first to the highest are Duplicates, those below Stale, and one
// further ahead is refused by [ErrGap]. A producer that finds no room is refused
// by [ErrProducers]; refusals change nothing.
func (s *Sequences) Admit(producer hapax.Fingerprint, epoch uint32, number uint64) (v hapax.Verdict, err error) {
	k := s.key(producer)
	r, ok := s.find(k)
	switch {
	case !ok:
		if r, err = s.insert(k); err != nil {
			return 0, err
		}
		r.begin(s.disorder, epoch, number)
		v = hapax.Fresh
	case epoch > r.epoch() || s.forgotten(r):
		r.begin(s.disorder, epoch, number)
		v = hapax.Fresh
	case epoch < r.epoch():
		v = hapax.Stale
	default:
		if v, err = r.judge(s.disorder, number); err != nil {
			return 0, err
		}
	}
	if v == hapax.Fresh || s.idle > 0 && s.age(r) > s.slack {
		s.change(producer, r)
	}
	return v, nil
}

// change notes that the row is another, as of now.
func (s *Sequences) change(producer hapax.Fingerprint, r row) {
	r.setLast(s.now)
	if s.track && r[rowMeta]&changed == 0 {
		r[rowMeta] |= changed
		s.touched = append(s.touched, producer)
	}
}

// Changed returns the producers that have changed since it was last called, and
// forgets that they have. Numbers is valid until the next call of any method.
func (s *Sequences) Changed(yield func(Producer) bool) {
	for _, f := range s.touched {
		if r, ok := s.find(s.key(f)); ok {
			r[rowMeta] &^= changed
			if !yield(producerOf(r)) {
				break
			}
		}
	}
	s.touched = s.touched[:0]
}

// Touch loads the producer's row, so that the misses of a batch overlap. What it
// returns is only there to keep the loads.
func (s *Sequences) Touch(producer hapax.Fingerprint) uint64 {
	k := s.key(producer)
	sh := &s.shards[k.shard]
	if sh.homes == 0 {
		return 0
	}
	home := sh.home(k.low)
	match := matching(binary.LittleEndian.Uint64(sh.tags[home:]), k.tag())
	if match == 0 {
		return 0
	}
	at := (home + bits.TrailingZeros64(match)/8) * s.stride
	return sh.words[at] ^ sh.words[at+rowRing]
}

// Get returns what is remembered of a producer. Numbers is a copy.
func (s *Sequences) Get(producer hapax.Fingerprint) (Producer, bool) {
	r, ok := s.find(s.key(producer))
	if !ok || s.forgotten(r) {
		return Producer{}, false
	}
	p := producerOf(r)
	p.Numbers = slices.Clone(p.Numbers)
	return p, true
}

// LastAt is when the producer's last number came, in Unix seconds.
func (s *Sequences) LastAt(p Producer) int64 { return s.at - int64(since(s.now, p.Last)) }

// All calls yield for each producer, in no order, until it returns false.
// Numbers is valid until yield returns. The producers must not change meanwhile.
func (s *Sequences) All(yield func(Producer) bool) {
	for i := range s.shards {
		sh := &s.shards[i]
		for at, tag := range sh.tags {
			if tag == 0 {
				continue
			}
			if r := s.row(sh, at); !s.forgotten(r) && !yield(producerOf(r)) {
				return
			}
		}
	}
}

func producerOf(r row) Producer {
	var f hapax.Fingerprint
	binary.BigEndian.PutUint64(f[:8], r[rowHigh])
	binary.BigEndian.PutUint64(f[8:], r[rowLow])
	return Producer{Fingerprint: f, Epoch: r.epoch(), Highest: r[rowTop], Last: r.last(), Numbers: r[rowRing:]}
}

// Restore sets what is remembered of a producer, as Changed or All gave it. It
// may exceed the rules' number of producers: what was remembered stays so. One
// that is idle by now is left out.
func (s *Sequences) Restore(p Producer) error {
	if err := s.check(p); err != nil {
		return fmt.Errorf("%w: producer %v: %w", hapax.ErrCorrupt, p.Fingerprint, err)
	}
	k := s.key(p.Fingerprint)
	r, ok := s.find(k)
	if !ok {
		if s.idle > 0 && since(s.now, p.Last) > s.idle+s.slack {
			return nil
		}
		var err error
		if r, err = s.place(k); err != nil {
			return err
		}
	}
	r[rowMeta] = uint64(p.Epoch)<<32 | uint64(p.Last&lastMask)
	r[rowTop] = p.Highest
	copy(r[rowRing:], p.Numbers)
	return nil
}

func (s *Sequences) check(p Producer) error {
	switch {
	case len(p.Numbers) != s.rules.words():
		return fmt.Errorf("%d words of numbers, want %d", len(p.Numbers), s.rules.words())
	case s.disorder == 0 && p.Numbers[0] > p.Highest:
		return fmt.Errorf("first number %d is above the highest, %d", p.Numbers[0], p.Highest)
	case s.disorder != 0 && p.Numbers[p.Highest/64%uint64(len(p.Numbers))]>>(p.Highest%64)&1 == 0:
		return fmt.Errorf("highest number %d is not marked", p.Highest)
	}
	return nil
}

// sequenceKey is a fingerprint as the shards hold it.
type sequenceKey struct {
	shard     int
	high, low uint64
}

func (s *Sequences) key(f hapax.Fingerprint) sequenceKey {
	k := sequenceKey{high: binary.BigEndian.Uint64(f[:8]), low: binary.BigEndian.Uint64(f[8:])}
	shard, _ := bits.Mul64(k.high, uint64(len(s.shards)))
	k.shard = int(shard)
	return k
}

// tag is what a key's place is marked with.
func (k sequenceKey) tag() uint8 { return uint8(k.low) | 0x80 }

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

// row is the row at a place of the shard.
func (s *Sequences) row(sh *sequenceShard, at int) row {
	return row(sh.words[at*s.stride : (at+1)*s.stride])
}

// find returns the producer's row, and whether there is one.
func (s *Sequences) find(k sequenceKey) (row, bool) {
	sh := &s.shards[k.shard]
	if sh.homes == 0 {
		return nil, false
	}
	tag := k.tag()
	for at := sh.home(k.low); ; at += 8 {
		tags := binary.LittleEndian.Uint64(sh.tags[at:])
		for match := matching(tags, tag); match != 0; match &= match - 1 {
			r := s.row(sh, at+bits.TrailingZeros64(match)/8)
			if r[rowLow] == k.low && r[rowHigh] == k.high {
				return r, true
			}
		}
		if ^tags&topBits != 0 {
			return nil, false
		}
	}
}

// insert adds a row for a producer that has none, if there may be one more.
func (s *Sequences) insert(k sequenceKey) (row, error) {
	if s.used >= s.rules.Producers {
		s.Sweep(forcedSweep)
		if s.used >= s.rules.Producers {
			return nil, ErrProducers
		}
	}
	return s.place(k)
}

// place adds a row, growing its shard if it is full there.
func (s *Sequences) place(k sequenceKey) (row, error) {
	sh := &s.shards[k.shard]
	for {
		if sh.used < sh.homes*7/8 {
			if at, ok := s.vacant(sh, k.low); ok {
				r := s.row(sh, at)
				r[rowLow], r[rowHigh], r[rowMeta] = k.low, k.high, 0
				sh.tags[at] = k.tag()
				sh.used++
				s.used++
				return r, nil
			}
		}
		if err := s.grow(sh); err != nil {
			return nil, err
		}
	}
}

// vacant is the first place from a key's home that has no row, if there is one.
func (s *Sequences) vacant(sh *sequenceShard, low uint64) (at int, ok bool) {
	for at = sh.home(low); ; at += 8 {
		if free := ^binary.LittleEndian.Uint64(sh.tags[at:]) & topBits; free != 0 {
			at += bits.TrailingZeros64(free) / 8
			return at, at*s.stride < len(sh.words)
		}
	}
}

// grow spreads the shard's rows over more homes. Fingerprints that are hashes
// spread; some that do not must not make it grow for ever.
func (s *Sequences) grow(sh *sequenceShard) error {
	homes := sh.homes
	for {
		if homes > 256 && sh.used < homes/4 {
			return ErrCrowded
		}
		homes += homes/4 + 4
		if larger, ok := s.spread(sh, homes); ok {
			*sh = larger
			return nil
		}
	}
}

// spread copies the shard's rows to a shard of so many homes, if they fit it.
func (s *Sequences) spread(sh *sequenceShard, homes int) (sequenceShard, bool) {
	places := homes + homes/32 + 4
	to := sequenceShard{
		tags:  make([]uint8, places+8),
		words: make([]uint64, places*s.stride),
		homes: homes, used: sh.used,
	}
	for from, tag := range sh.tags {
		if tag == 0 {
			continue
		}
		r := s.row(sh, from)
		at, ok := s.vacant(&to, r[rowLow])
		if !ok {
			return sequenceShard{}, false
		}
		copy(s.row(&to, at), r)
		to.tags[at] = tag
	}
	return to, true
}

// forcedSweep is how many places are looked at for an idle producer when a new
// one finds no room.
const forcedSweep = 1 << 12

// Sweep looks at the next n places for producers that are idle, and forgets
// them. Called with each batch, with twice the number of its entries or so, it
// keeps idle producers from taking room.
func (s *Sequences) Sweep(n int) {
	if s.idle == 0 {
		return
	}
	for ; n > 0; n-- {
		sh := &s.shards[s.cursor.shard]
		if s.cursor.at >= len(sh.tags) {
			s.cursor.at = 0
			s.cursor.shard = (s.cursor.shard + 1) % len(s.shards)
			continue
		}
		if sh.tags[s.cursor.at] != 0 && s.forgotten(s.row(sh, s.cursor.at)) {
			s.remove(sh, s.cursor.at)
		} else {
			s.cursor.at++
		}
	}
}

// remove takes a row out, and moves rows behind it up to where look-ups for them
// do not end at the vacant place (Knuth, volume 3, algorithm 6.4R).
func (s *Sequences) remove(sh *sequenceShard, at int) {
	for next := at + 1; sh.tags[next] != 0; next++ {
		if r := s.row(sh, next); sh.home(r[rowLow]) <= at {
			copy(s.row(sh, at), r)
			sh.tags[at] = sh.tags[next]
			at = next
		}
	}
	sh.tags[at] = 0
	sh.used--
	s.used--
}

// forgotten tells whether the producer has been idle for so long that it counts
// as never seen.
func (s *Sequences) forgotten(r row) bool {
	return s.idle > 0 && s.age(r) > s.idle+s.slack
}

func (s *Sequences) age(r row) int32 { return since(s.now, r.last()) }

// since is the seconds from one time to another, negative if that is the later.
func since(now, then uint32) int32 { return int32((now-then)<<1) >> 1 }
