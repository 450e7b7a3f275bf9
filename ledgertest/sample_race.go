//go:build race

package ledgertest

// sampled is few with the race detector, which makes all ten times as slow: one
// goroutine opens damaged files.
const sampled = 30
