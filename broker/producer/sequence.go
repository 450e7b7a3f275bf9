package producer

import "math"

// Advance is the sequence number n after s. After 2^31-1 comes 0. All arithmetic
// on sequence numbers is here; s and n are not negative.
func Advance(s, n int32) int32 {
	return int32((int64(s) + int64(n)) & math.MaxInt32)
}
