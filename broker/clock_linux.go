package broker

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootClock is a clock that starts with the wall's time and goes on by the time
// since the machine was started: a step of the wall clock does not change it, and it
// goes on while the machine sleeps.
func bootClock() func() time.Time {
	start, boot := time.Now(), sinceBoot()
	return func() time.Time { return start.Add(sinceBoot() - boot) }
}

func sinceBoot() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // it never fails for a clock that there is
	return time.Duration(t.Nano())
}
