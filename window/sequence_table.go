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
// A producer has a row of words, which stays where it is until the producer is
// forgotten. To find it, the upper half of the producer's fingerprint chooses a
// shard of the index, the lower half a home there, and at the home or the first
// vacant place behind it stands the row's number. Beside the numbers, a byte for
// each place holds seven bits of the fingerprint, 0 where it is vacant: a look-up
// reads eight of these at once and then, but for one in thirty, a single row. The
// index of a million producers stays in the cache, so that a message costs one
// miss, and those of a batch overlap.
//
// A shard grows by a quarter when it is 3/4 full. There are so many that none has
// much more than shardProducers to place anew, which takes some ten microseconds.
//
// It is pure and holds no lock: now comes in by [Sequences.Advance]. Calls must
// not overlap.
type Sequences struct {
	rules    SequenceRules
	disorder uint64

	grow   func(words int) ([]uint64, error)
	words  []uint64 // rows
	stride int      // words a row
	made   int      // rows that are in use or free; the others never were
	free   uint64   // first of the rows that are free, plus 1; each holds the next
	cursor int      // of Sweep: a row
	loaded uint64   // keeps loads that only fetch lines

	shards []sequenceShard
	used   int

	now   uint32 // seconds, modulo 34 years
	at    int64  // of which now was made: Unix seconds
	idle  int32  // seconds; 0: never
	slack int32  // seconds that a row's last may lag behind

	track   bool
	touched []uint32 // rows with their changed bit set, and some without
}

// Producer is what is remembered of one.
type Producer struct {
	Fingerprint hapax.Fingerprint
	Epoch       uint32
	Highest     uint64
	Last        uint32   // when its last number came: Unix seconds, modulo 2^30
	Numbers     []uint64 // the ring of bits; of a strict sequence, the first number
}

// NewSequences returns an empty set. With track, [Sequences.Changed] tells which
// producers have changed. The rules must be valid.
//
// Its rows are in the memory that grow returns: at least so many words in all,
// the added ones zeroed and the others kept. It is never asked for more than
// [SequenceRules.Words].
func NewSequences(r SequenceRules, grow func(words int) ([]uint64, error), track bool) *Sequences {
	s := &Sequences{rules: r, disorder: uint64(r.Disorder), stride: r.RowWords(), grow: grow, track: track}
	s.shards = make([]sequenceShard, min(r.Producers/shardProducers+1, maxShards))
	vacant := make([]uint8, 8)
	for i := range s.shards {
		s.shards[i].tags = vacant
	}
	if r.Idle > 0 {
		s.idle = int32((r.Idle + time.Second - 1) / time.Second)
		s.slack = s.idle / 128
	}
	return s
}

// Len is the number of producers remembered, some of which may be idle by now.
func (s *Sequences) Len() int { return s.used }

// Bytes is the memory that rows and index take.
func (s *Sequences) Bytes() int64 {
	n := int64(s.made) * int64(s.stride) * 8
	for i := range s.shards {
		n += int64(cap(s.shards[i].rows))*4 + int64(cap(s.shards[i].tags))
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
func (s *Sequences) Admit(k ProducerKey, epoch uint32, number uint64) (v hapax.Verdict, err error) {
	n, ok := s.find(k)
	if !ok {
		if n, err = s.insert(k); err != nil {
			return 0, err
		}
	}
	r := s.row(n)
	switch {
	case !ok:
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
		s.change(n, r)
	}
	return v, nil
}

// change notes that row n, which is r, is another as of now.
func (s *Sequences) change(n uint32, r row) {
	r.setLast(s.now)
	if s.track && r[rowMeta]&changed == 0 {
		r[rowMeta] |= changed
		s.touched = append(s.touched, n)
	}
}

// Changed yields the producers that have changed since it yielded them last.
// Numbers is valid until the next call of any method.
func (s *Sequences) Changed(yield func(Producer) bool) {
	for i, n := range s.touched {
		r := s.row(n)
		if r[rowMeta]&changed == 0 {
			continue
		}
		r[rowMeta] &^= changed
		if !yield(producerOf(r)) {
			s.touched = append(s.touched[:0], s.touched[i+1:]...)
			return
		}
	}
	s.touched = s.touched[:0]
}

// Get returns what is remembered of a producer. Numbers is a copy.
func (s *Sequences) Get(producer hapax.Fingerprint) (Producer, bool) {
	n, ok := s.find(s.Key(producer))
	if !ok || s.forgotten(s.row(n)) {
		return Producer{}, false
	}
	p := producerOf(s.row(n))
	p.Numbers = slices.Clone(p.Numbers)
	return p, true
}

// LastAt is when the producer's last number came, in Unix seconds.
func (s *Sequences) LastAt(p Producer) int64 { return s.at - int64(since(s.now, p.Last)) }

// All calls yield for each producer, in no order, until it returns false.
// Numbers is valid until yield returns. The producers must not change meanwhile.
func (s *Sequences) All(yield func(Producer) bool) {
	for n := range s.made {
		r := s.row(uint32(n))
		if r[rowMeta]&inUse != 0 && !s.forgotten(r) && !yield(producerOf(r)) {
			return
		}
	}
}

// Part calls yield for each producer in one shard of the index, and returns
// where the next one begins; 0: it was the last. It is the shard in which a
// fingerprint whose upper half is from would be, so that parts may be asked for
// one by one while producers come and go, and by another set as well. Numbers is
// valid until yield returns.
func (s *Sequences) Part(from uint64, yield func(Producer)) (next uint64) {
	at, _ := bits.Mul64(from, uint64(len(s.shards)))
	sh := &s.shards[at]
	for _, n := range sh.rows { // so that the cache misses overlap
		r := s.row(n)
		s.loaded ^= r[rowLow] ^ r[rowRing]
	}
	for i, n := range sh.rows {
		if r := s.row(n); sh.tags[i] != 0 && !s.forgotten(r) {
			yield(producerOf(r))
		}
	}
	if at++; at == uint64(len(s.shards)) {
		return 0
	}
	next, rest := bits.Div64(at, 0, uint64(len(s.shards)))
	if rest > 0 {
		next++
	}
	return next
}

func producerOf(r row) Producer {
	var f hapax.Fingerprint
	binary.BigEndian.PutUint64(f[:8], r[rowHigh])
	binary.BigEndian.PutUint64(f[8:], r[rowLow])
	return Producer{Fingerprint: f, Epoch: r.epoch(), Highest: r[rowTop], Last: r.last(), Numbers: r[rowRing:]}
}

// Restore sets what is remembered of a producer, as Changed or All gave it. One
// that is idle by now is left out.
func (s *Sequences) Restore(p Producer) error {
	if err := s.check(p); err != nil {
		return fmt.Errorf("%w: producer %v: %w", hapax.ErrCorrupt, p.Fingerprint, err)
	}
	k := s.Key(p.Fingerprint)
	n, ok := s.find(k)
	if !ok {
		if s.idle > 0 && since(s.now, p.Last) > s.idle+s.slack {
			return nil
		}
		var err error
		if n, err = s.insert(k); err != nil {
			return err
		}
	}
	r := s.row(n)
	r[rowMeta] = uint64(p.Epoch)<<32 | inUse | uint64(p.Last&lastMask)
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

func (s *Sequences) row(n uint32) row {
	at := int(n) * s.stride
	return row(s.words[at : at+s.stride])
}

// insert adds a row for a producer that has none, if there may be one more.
func (s *Sequences) insert(k ProducerKey) (uint32, error) {
	if s.used >= s.rules.Producers {
		s.Sweep(forcedSweep)
		if s.used >= s.rules.Producers {
			return 0, ErrProducers
		}
	}
	at, err := s.makePlace(k)
	if err != nil {
		return 0, err
	}
	n, err := s.makeRow()
	if err != nil {
		return 0, err
	}
	sh := &s.shards[k.shard]
	sh.tags[at], sh.rows[at] = k.tag(), n
	sh.used++
	s.used++
	r := s.row(n)
	r[rowLow], r[rowHigh], r[rowMeta] = k.low, k.high, inUse
	return n, nil
}

// makeRow returns a row that is not in use.
func (s *Sequences) makeRow() (uint32, error) {
	if n := s.free; n > 0 {
		s.free = s.row(uint32(n - 1))[rowTop]
		return uint32(n - 1), nil
	}
	if (s.made+1)*s.stride > len(s.words) {
		rows := min(s.made+s.made/8+64, s.rules.Producers)
		words, err := s.grow(rows * s.stride)
		if err != nil {
			return 0, err
		}
		s.words = words
	}
	s.made++
	return uint32(s.made - 1), nil
}

// forcedSweep is how many rows are looked at for an idle producer when a new one
// finds no room.
const forcedSweep = 1 << 12

// Sweep looks at the next n rows for producers that are idle, and forgets them.
// Called with each batch, with twice the number of its entries or so, it keeps
// idle producers from taking room.
func (s *Sequences) Sweep(n int) {
	if s.idle == 0 {
		return
	}
	for range min(n, s.made) {
		if s.cursor >= s.made {
			s.cursor = 0
		}
		if r := s.row(uint32(s.cursor)); r[rowMeta]&inUse != 0 && s.forgotten(r) {
			s.remove(uint32(s.cursor), r)
		}
		s.cursor++
	}
}

// remove takes a row out of use. Places behind its own are moved up to where
// look-ups for them do not end at the vacant one (Knuth, volume 3, 6.4R).
func (s *Sequences) remove(n uint32, r row) {
	k := s.Key(producerOf(r).Fingerprint)
	sh := &s.shards[k.shard]
	at := sh.home(k.low)
	for sh.rows[at] != n || sh.tags[at] == 0 {
		at++
	}
	for next := at + 1; sh.tags[next] != 0; next++ {
		if sh.home(s.row(sh.rows[next])[rowLow]) <= at {
			sh.tags[at], sh.rows[at] = sh.tags[next], sh.rows[next]
			at = next
		}
	}
	sh.tags[at] = 0
	sh.used--
	s.used--
	r[rowMeta], r[rowTop], s.free = 0, s.free, uint64(n)+1
}

// forgotten tells whether the producer has been idle for so long that it counts
// as never seen.
func (s *Sequences) forgotten(r row) bool {
	return s.idle > 0 && s.age(r) > s.idle+s.slack
}

func (s *Sequences) age(r row) int32 { return since(s.now, r.last()) }

// since is the seconds from one time to another, negative if that is the later.
func since(now, then uint32) int32 { return int32((now-then)<<2) >> 2 }
