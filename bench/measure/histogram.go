package measure

import (
	"math/bits"
	"time"
)

// Histogram counts durations in buckets no wider than 1/64 of their value, as
// HDR histograms do. The zero value is empty.
type Histogram struct {
	buckets [64 * sub]uint64
	count   uint64
	longest time.Duration
}

const (
	subBits = 6
	sub     = 1 << subBits
)

// Add counts d once.
func (h *Histogram) Add(d time.Duration) {
	h.buckets[bucket(uint64(d))]++
	h.count++
	h.longest = max(h.longest, d)
}

// bucket numbers values below sub by themselves, and the sub parts of each
// later power of two in turn.
func bucket(v uint64) int {
	if v < sub {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return shift<<subBits + int(v>>shift)
}

// lowest is the smallest value of bucket i.
func lowest(i int) time.Duration {
	if i < sub {
		return time.Duration(i)
	}
	shift := i>>subBits - 1
	return time.Duration(i-shift<<subBits) << shift
}

// Quantile returns the duration that a share q of all do not exceed, rounded
// down to its bucket.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.count))
	for i, n := range &h.buckets {
		if rank < n {
			return lowest(i)
		}
		rank -= n
	}
	return h.longest
}

// Count returns how many durations were counted.
func (h *Histogram) Count() uint64 { return h.count }

// Longest returns the longest duration, exactly.
func (h *Histogram) Longest() time.Duration { return h.longest }

// Merge adds what other counted.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range &other.buckets {
		h.buckets[i] += n
	}
	h.count += other.count
	h.longest = max(h.longest, other.longest)
}

// Idle does nothing but look at the clock for d: what it counts between two
// looks is the machine's own.
func Idle(d time.Duration) (h Histogram, looks int) {
	start := time.Now()
	for last := time.Duration(0); last < d; looks++ {
		now := time.Since(start)
		h.Add(now - last)
		last = now
	}
	return h, looks
}
