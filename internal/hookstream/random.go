package hookstream

import (
	"math/bits"
	"math/rand/v2"
)

// below is a random number below n.
func below(source *rand.PCG, n uint64) uint64 {
	high, _ := bits.Mul64(source.Uint64(), n)
	return high
}

// exponential is a random number of the given mean, small ones more often:
// the exponential distribution with straight lines between its halvings.
func exponential(source *rand.PCG, mean uint64) uint64 {
	word := source.Uint64() | 1<<12 // at most 51 halvings
	halvings := uint64(bits.LeadingZeros64(word))
	rest := (word << (halvings + 1)) >> 54  // 10 bits
	span := halvings<<10 + 1023 - rest      // in 1/1024 of a halving
	high, low := bits.Mul64(mean, span*710) // 1/ln 2 halvings make a mean, and ln 2 ≈ 710/1024
	return high<<44 | low>>20
}

// spread is a random number from low to high, of each magnitude as often:
// ages from seconds to hours are alike in number.
func spread(source *rand.PCG, low, high uint64) uint64 {
	octaves := uint64(bits.Len64(high / low))
	for {
		n := low << below(source, octaves)
		if n += below(source, n); n <= high {
			return n
		}
	}
}
