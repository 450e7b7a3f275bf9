package window

import (
	"errors"
	"fmt"
	"time"

	"github.com/hapaxmq/hapax"
)

const (
	// MaxDisorder is the largest window of sequence numbers, in numbers.
	MaxDisorder = 1 << 12
	// MaxIdle is the longest time after which a producer may be forgotten.
	MaxIdle = 10 * 365 * 24 * time.Hour
	// MaxProducers is the most producers that Sequences may be allowed.
	MaxProducers = 1 << 30
)

var (
	// ErrGap says that a strict sequence's number is not the next one.
	ErrGap = errors.New("window: number is not the next one")
	// ErrProducers says that as many producers are remembered as were allowed.
	ErrProducers = errors.New("window: as many producers are remembered as may be")
)

// SequenceRules say what [Sequences] remember of a producer, and for how long.
type SequenceRules struct {
	// Disorder is how many numbers, the highest one included, are told apart
	// one by one: a power of two from 64 to MaxDisorder. 0 is strict: a number
	// must be the next one.
	Disorder int
	// Producers bounds how many are remembered at once.
	Producers int
	// Idle is how long after its last number a producer may be forgotten; 0 is
	// never. It is kept at most 1/128 of that, and two seconds, longer.
	Idle time.Duration
}

// Validate reports the first thing that is wrong with r.
func (r SequenceRules) Validate() error {
	switch d := r.Disorder; {
	case d != 0 && (d < 64 || d > MaxDisorder || d&(d-1) != 0):
		return fmt.Errorf("sequence window %d: want 0 for strict order, or a power of two from 64 to %d", d, MaxDisorder)
	case r.Producers < 1 || r.Producers > MaxProducers:
		return fmt.Errorf("%d producers: want 1 to %d", r.Producers, MaxProducers)
	case r.Idle != 0 && (r.Idle < time.Second || r.Idle > MaxIdle):
		return fmt.Errorf("idle time %v: want 0 for never, or 1s to %v", r.Idle, MaxIdle)
	}
	return nil
}

// words is how many 64-bit words tell a producer's numbers apart.
func (r SequenceRules) words() int { return max(r.Disorder/64, 1) }

// RowWords is how many 64-bit words are kept of a producer, without the index.
func (r SequenceRules) RowWords() int { return rowRing + r.words() }

// Words is the most words that the rows of [Sequences] take.
func (r SequenceRules) Words() int { return r.Producers * r.RowWords() }

// IndexBytes is the most bytes that the index takes for a producer.
const IndexBytes = 10

// What is kept of a producer is a row of words. The last ones are a ring in
// which number n has bit n modulo Disorder, as in RFC 6479; numbers passed over
// are cleared bit by bit instead of block by block, so that no block of the ring
// is spare. A strict sequence has one word there: the number it began with.
const (
	rowLow  = iota // of the fingerprint
	rowHigh        // of the fingerprint
	rowMeta        // epoch (32 bits) · in use · changed · last (30 bits)
	rowTop         // highest number
	rowRing        // its first word
)

const (
	inUse    = 1 << 31
	changed  = 1 << 30
	lastMask = 1<<30 - 1 // seconds, modulo 34 years
)

// row is a producer's words, in place.
type row []uint64

func (r row) epoch() uint32 { return uint32(r[rowMeta] >> 32) }

// last is when the producer's last number came.
func (r row) last() uint32 { return uint32(r[rowMeta] & lastMask) }

func (r row) setLast(now uint32) { r[rowMeta] = r[rowMeta]&^lastMask | uint64(now) }

// begin is the first sight of a producer, or of an epoch of it: any number is
// the first.
func (r row) begin(disorder uint64, epoch uint32, number uint64) {
	r[rowMeta] = uint64(epoch)<<32 | r[rowMeta]&(1<<32-1)
	r[rowTop] = number
	clear(r[rowRing:])
	if disorder == 0 {
		r[rowRing] = number
		return
	}
	r.mark(number)
}

// judge is the verdict on a number of the row's epoch, which is remembered if it
// is fresh.
func (r row) judge(disorder, number uint64) (hapax.Verdict, error) {
	distance, ahead := relate(r[rowTop], number)
	switch {
	case disorder == 0:
		return r.judgeStrict(distance, ahead, number)
	case ahead:
		r.pass(disorder, distance)
		r[rowTop] = number
		r.mark(number)
		return hapax.Fresh, nil
	case distance >= disorder:
		return hapax.Stale, nil
	case r.marked(number):
		return hapax.Duplicate, nil
	}
	r.mark(number)
	return hapax.Fresh, nil
}

// judgeStrict: all numbers from the first one to the highest have come.
func (r row) judgeStrict(distance uint64, ahead bool, number uint64) (hapax.Verdict, error) {
	switch {
	case ahead && distance > 1:
		return 0, ErrGap
	case ahead:
		r[rowTop] = number
		return hapax.Fresh, nil
	case number < r[rowRing]:
		return hapax.Stale, nil
	}
	return hapax.Duplicate, nil
}

// relate tells how far a number is from the highest, and whether ahead of it.
// All arithmetic on sequence numbers is here. They do not wrap: none comes after
// 2^64-1 but in a higher epoch, and no distance is more than the number itself.
func relate(top, number uint64) (distance uint64, ahead bool) {
	if number > top {
		return number - top, true
	}
	return top - number, false
}

// mark and marked set and read a number's bit.
func (r row) mark(number uint64) {
	ring := r[rowRing:]
	ring[number/64&uint64(len(ring)-1)] |= 1 << (number % 64)
}

func (r row) marked(number uint64) bool {
	ring := r[rowRing:]
	return ring[number/64&uint64(len(ring)-1)]>>(number%64)&1 != 0
}

// pass clears the bits of the numbers between the highest and the one that is
// distance ahead of it.
func (r row) pass(disorder, distance uint64) {
	ring := r[rowRing:]
	if distance >= disorder {
		clear(ring)
		return
	}
	for at, n := r[rowTop]+1, distance-1; n > 0; {
		some := min(64-at%64, n)
		ring[at/64&uint64(len(ring)-1)] &^= (^uint64(0) >> (64 - some)) << (at % 64)
		at, n = at+some, n-some
	}
}
