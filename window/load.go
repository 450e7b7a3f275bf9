//go:build amd64 || arm64

package window

// loadBuckets asks for the buckets numbered at[0] to at[n-1], and with beside for the
// words beside their entries, without waiting for them.
//
//go:noescape
func loadBuckets(lines *Line, beside uint32, at *uint32, n int)
