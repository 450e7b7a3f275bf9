package uniq

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
)

// EventTime reads the time that a JSON line carries in one of its fields.
type EventTime struct {
	Optional bool // a line without one has NoTime; else that is an error

	field *identity.Extractor
}

// NoTime is the time of a line that has none.
const NoTime = math.MinInt64

// ParseEventTime reads the PATH of the field, as package identity defines paths.
func ParseEventTime(path string) (*EventTime, error) {
	field, err := identity.Parse("json:" + path)
	if err != nil {
		return nil, fmt.Errorf("event time: %w", err)
	}
	return &EventTime{field: field}, nil
}

// of is the event time of m in Unix nanoseconds. The field's value is written to
// dst, which is returned for the next call.
func (t *EventTime) of(dst []byte, m *hapax.Message) (ns int64, _ []byte, err error) {
	id, err := t.field.Append(dst, m)
	if errors.Is(err, hapax.ErrMissing) && t.Optional {
		return NoTime, id, nil
	}
	if errors.Is(err, hapax.ErrMissing) {
		// It must not be taken for a line without an identity.
		return 0, id, fmt.Errorf("event time: no value at %s", t.field.String()[len("json:"):])
	}
	if err != nil {
		return 0, id, fmt.Errorf("event time: %w", err)
	}
	// The identity of one field is a byte that says so and its canonical JSON.
	at, err := parseTime(string(id[1:]))
	if err != nil {
		return 0, id, fmt.Errorf("event time at %s: %w", t.field.String()[len("json:"):], err)
	}
	return at, id, nil
}

// parseTime reads a time as JSON has it, into Unix nanoseconds: a string of
// RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds
// since 1970, told by its size: below 10¹¹ (the year 5138) it is seconds, below
// 10¹⁴ milliseconds, below 10¹⁷ microseconds.
func parseTime(value string) (int64, error) {
	if text, err := strconv.Unquote(value); err == nil && value[0] == '"' {
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return 0, fmt.Errorf("%.100q is not a time as RFC 3339 writes it, such as 2006-01-02T15:04:05Z", text)
		}
		if year := t.Year(); year < 1678 || year > 2261 {
			return 0, fmt.Errorf("the year %d is out of range: want 1678 to 2261", year)
		}
		return t.UnixNano(), nil
	}
	whole, fraction, _ := strings.Cut(value, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	part, err2 := strconv.ParseFloat("0."+fraction+"0", 64)
	if err != nil || err2 != nil {
		return 0, fmt.Errorf("%.100s is neither a time as RFC 3339 writes it nor a number of seconds since 1970", value)
	}
	unit := unitOf(n)
	if n > math.MaxInt64/unit-1 || n < math.MinInt64/unit+1 {
		return 0, fmt.Errorf("the time %.100s is out of range: want the years 1678 to 2261", value)
	}
	if value[0] == '-' {
		part = -part
	}
	return n*unit + int64(math.Round(part*float64(unit))), nil
}

// unitOf is how many nanoseconds a number of this size counts in.
func unitOf(n int64) int64 {
	switch size := math.Abs(float64(n)); {
	case size < 1e11:
		return 1e9
	case size < 1e14:
		return 1e6
	case size < 1e17:
		return 1e3
	}
	return 1
}
