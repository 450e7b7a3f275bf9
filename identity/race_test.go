//go:build race

package identity

// racing tells that the race detector is on, under which a sync.Pool forgets
// on purpose.
const racing = true
