//go:build amd64 || arm64

package window

// loadLines asks for the lines numbered at[0] to at[n-1], and with beside for the
// words beside them, without waiting for them.
//
//go:noescape
func loadLines(lines *Line, beside uint32, at *uint32, n int)
