package audit

import "time"

// place is where a message stands in the stream. None of its numbers ever goes
// back from one message to the next.
type place struct {
	clock   int64 // milliseconds since the first event time
	message int64 // messages before it
	offset  int64 // bytes before it
}

// dimension is a way to measure how far apart two messages are.
type dimension int

const (
	byTime dimension = iota
	byCount
	byBytes
	dimensions
)

func (d dimension) of(p place) int64 { return [...]int64{p.clock, p.message, p.offset}[d] }

// age is how far behind the later message the earlier one lies. Of messages,
// those between the two count.
func (d dimension) age(earlier, later place) int64 {
	age := d.of(later) - d.of(earlier)
	if d == byCount {
		age--
	}
	return age
}

// clock is a stream's own: the latest event time seen.
type clock struct {
	known     bool
	first     int64 // milliseconds since 1970, as the next two
	earliest  int64
	latest    int64
	timeless  int64 // messages without an event time
	lag       int64 // the farthest that a first sight lay behind the clock
	step      int64 // the longest that one message moved the clock
	stepTaker int64 // messages before that one
}

// event is a message's own time in milliseconds since 1970, if it has one.
func event(t time.Time) (ms int64, ok bool) {
	year := t.Year()
	return t.UnixMilli(), !t.IsZero() && year >= 0 && year <= 9999
}

// next is the time of a message with that event time: milliseconds since the
// first one.
func (c *clock) next(eventTime time.Time, message int64) int64 {
	t, ok := event(eventTime)
	if !ok {
		c.timeless++
		return c.latest - c.first
	}
	if !c.known {
		c.known, c.first, c.earliest, c.latest = true, t, t, t
	}
	c.earliest = min(c.earliest, t)
	if step := t - c.latest; step > c.step {
		c.step, c.stepTaker = step, message
	}
	c.latest = max(c.latest, t)
	return c.latest - c.first
}

// firstSight notes how far a new message lies behind the clock.
func (c *clock) firstSight(eventTime time.Time) {
	if t, ok := event(eventTime); ok {
		c.lag = max(c.lag, c.latest-t)
	}
}
