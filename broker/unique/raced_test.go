//go:build race

package unique

// raced tells that the race detector is on, which makes all ten times as slow.
// Tests in which one goroutine works leave out what is long.
const raced = true
