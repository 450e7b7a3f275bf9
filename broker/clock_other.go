//go:build !linux

package broker

import "time"

// bootClock is a clock that a step of the wall clock does not change.
func bootClock() func() time.Time { return time.Now }
