package window

import (
	"math"
	"time"

	"github.com/hapaxmq/hapax"
)

// Reach is how far back a window reaches by time, and how its time is cut into
// slices. Times are Unix nanoseconds.
type Reach struct {
	kind      hapax.WindowKind
	event     bool          // times are of the events
	span      time.Duration // of the window
	width     int64         // of a slice; 0: time bounds nothing
	watermark int64
}

func newReach(w hapax.Window, grace int64) Reach {
	r := Reach{kind: w.Kind, event: w.EventTime, span: w.Time, watermark: math.MinInt64}
	switch {
	case w.Time == 0:
	case w.Kind == hapax.Tumbling:
		r.width = int64(w.Time)
	default:
		r.width = max(int64(w.Time)/slicesOf(w)-grace, 1)
	}
	return r
}

// Watermark is the time that Advance has reached.
func (r *Reach) Watermark() int64 { return r.watermark }

// slice is the slice of time that t lies in; without a bound of time it has no
// end. The first of all begins where times do.
func (r *Reach) slice(t int64) (start, end int64) {
	if r.width == 0 {
		return t, math.MaxInt64
	}
	start = floorTo(t, r.width)
	end = start + r.width
	if start > t {
		start = math.MinInt64
	}
	return start, end
}

// leaves is when what came in a slice that ends then leaves the window by time.
func (r *Reach) leaves(end int64) int64 {
	if r.width == 0 || end == math.MaxInt64 {
		return math.MaxInt64
	}
	if r.kind == hapax.Tumbling {
		return end
	}
	return end + int64(r.span)
}

// Expires is when the generation leaves the window by time, and whether it does.
func (r *Reach) Expires(gen *Generation) (int64, bool) {
	at := r.leaves(gen.End)
	return at, at != math.MaxInt64
}

// Ended tells whether a generation that ends then has left the window by time.
func (r *Reach) Ended(end int64) bool { return r.leaves(end) <= r.watermark }

// Late tells whether an event of time t is older than the window reaches back.
func (r *Reach) Late(t int64) bool {
	if !r.event {
		return false
	}
	_, end := r.slice(t)
	return r.Ended(end)
}

// floorTo rounds down. Below the least multiple there is it wraps around.
func floorTo(t, width int64) int64 {
	rest := t % width
	if rest < 0 {
		rest += width
	}
	return t - rest
}
