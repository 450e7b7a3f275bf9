package redisstreams

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
)

// An id of an entry is a time in milliseconds and a number in it. As an offset they
// share 63 bits: a time up to the year 2248, and a million entries in a millisecond.
const (
	numberBits = 20
	longestID  = math.MaxInt64 >> numberBits
)

// Message is an entry of a stream as an inbox takes it in.
//
//   - Value is the field that is named payload. It is nil without one.
//   - Headers are all other fields, in order of their names: "header:id" names messages
//     by the field id. Of fields with the same name go-redis keeps one.
//   - Position is the stream and the entry's id as one number, which is the same in every
//     delivery. An entry whose id does not fit has none: its time is beyond the year
//     2248, or its number beyond 1,048,575. Ids that are made up by hand and
//     not by the server's clock may come anew with another message, once a stream is
//     deleted and made again: marks by position take it for a copy.
//   - Time is zero: an entry has the server's time only, which differs between copies
//     of one publisher.
func Message(stream, payload string, x redis.XMessage) *hapax.Message {
	m := &hapax.Message{}
	for _, name := range slices.Sorted(maps.Keys(x.Values)) {
		value := bytes(x.Values[name])
		if name == payload {
			m.Value = value
			continue
		}
		m.Headers = append(m.Headers, hapax.Header{Name: name, Value: value})
	}
	if offset, ok := offset(x.ID); ok {
		m.Position = hapax.Position{Source: stream, Offset: offset}
	}
	return m
}

// bytes is the value of a field, which go-redis reads as a string.
func bytes(v any) []byte {
	if text, ok := v.(string); ok {
		return []byte(text)
	}
	return fmt.Append(nil, v)
}

// offset is an entry's id as one number, if it fits.
func offset(id string) (int64, bool) {
	millis, number, ok := strings.Cut(id, "-")
	if !ok {
		return 0, false
	}
	time, err := strconv.ParseInt(millis, 10, 64)
	if err != nil || time < 0 || time > longestID {
		return 0, false
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n >= 1<<numberBits {
		return 0, false
	}
	return time<<numberBits | n, true
}
