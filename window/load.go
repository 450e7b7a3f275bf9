//go:build amd64 || arm64

package window

// loadLines asks for the lines numbered at[0] to at[n-1] without waiting for
// them: a batch's misses overlap, as many as the processor can have.
//
//go:noescape
func loadLines(lines *Line, at *uint32, n int)
