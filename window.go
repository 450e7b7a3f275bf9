package hapax

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// WindowKind says from which sight of an identity its window runs.
type WindowKind uint8

const (
	// First runs the window from the first sight: copies do not prolong it.
	First WindowKind = iota
	// Renewed runs it anew from every sight, a copy's too.
	Renewed
	// Tumbling cuts time (or count, or bytes) into aligned windows; an identity
	// is forgotten when the window it was first seen in ends.
	Tumbling
)

var windowKinds = [...]string{First: "first", Renewed: "renewed", Tumbling: "tumbling"}

func (k WindowKind) String() string {
	if int(k) < len(windowKinds) {
		return windowKinds[k]
	}
	return fmt.Sprintf("WindowKind(%d)", uint8(k))
}

// ParseWindowKind reads what String writes.
func ParseWindowKind(s string) (WindowKind, error) {
	for k, name := range windowKinds {
		if s == name {
			return WindowKind(k), nil
		}
	}
	return 0, fmt.Errorf("window kind %q: want first, renewed or tumbling", s)
}

// Window says how long an identity is remembered. Each bound that is not zero
// holds, and the first one reached lets the identity go, oldest first. No bound
// at all remembers for ever, which a caller must ask for by Unbounded.
//
// Inside its window an identity is never forgotten; it may be remembered up to
// 1/128 of the window longer.
type Window struct {
	Time  time.Duration // remembered for this long
	Count int64         // remembered until this many other identities came
	Bytes int64         // remembered until other identities' messages of this many bytes came

	Kind WindowKind

	// EventTime measures Time by the messages' own times instead of by their
	// arrival. The watermark, the latest event time seen, moves at most to the
	// arrival time plus Skew, so that one message from the future cannot empty
	// the window. Count and Bytes then say how much must have come before an
	// identity may go; which go first is by their own times.
	EventTime bool
	Skew      time.Duration

	// Unbounded remembers for ever: memory and disk budgets are the only limit.
	Unbounded bool
}

// longestTime keeps times of windows far from the end of what a Unix time in
// nanoseconds can be.
const longestTime = 100 * 365 * 24 * time.Hour

// Validate reports the first thing that is wrong with w.
func (w Window) Validate() error {
	bounded := w.Time != 0 || w.Count != 0 || w.Bytes != 0
	switch {
	case w.Time < 0 || w.Count < 0 || w.Bytes < 0:
		return errors.New("window: a bound is negative")
	case !bounded && !w.Unbounded:
		return errors.New("window: no bound: set Time, Count or Bytes, or Unbounded to remember for ever")
	case bounded && w.Unbounded:
		return errors.New("window: both bounded and unbounded")
	case int(w.Kind) >= len(windowKinds):
		return fmt.Errorf("window: unknown kind %d", w.Kind)
	case w.Kind != First && !bounded:
		return fmt.Errorf("window: kind %v needs a bound", w.Kind)
	case w.EventTime && w.Time == 0:
		return errors.New("window: event time needs Time")
	case w.Skew < 0 || w.Skew > 0 && !w.EventTime:
		return errors.New("window: Skew belongs to EventTime and is not negative")
	case w.Time != 0 && w.Time < time.Millisecond:
		return fmt.Errorf("window: Time %v is shorter than 1ms", w.Time)
	case w.Time > longestTime || w.Skew > longestTime:
		return fmt.Errorf("window: Time %v or Skew %v is longer than a hundred years: Unbounded remembers for ever", w.Time, w.Skew)
	}
	return nil
}

// String is w in words, for logs and errors: "24h0m0s or 1000000 ids, first".
func (w Window) String() string {
	var bounds []string
	if w.Time != 0 {
		bounds = append(bounds, w.Time.String())
	}
	if w.Count != 0 {
		bounds = append(bounds, fmt.Sprintf("%d ids", w.Count))
	}
	if w.Bytes != 0 {
		bounds = append(bounds, fmt.Sprintf("%d bytes", w.Bytes))
	}
	if len(bounds) == 0 {
		bounds = []string{"for ever"}
	}
	s := strings.Join(bounds, " or ") + ", " + w.Kind.String()
	if w.EventTime {
		s += ", event time"
	}
	return s
}
