//go:build race

package broker

// raced tells that the race detector is on, which makes all ten times as slow.
// Tests that do the same at many places do it at fewer.
const raced = true
