package marking

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

func keyArray(entries []*entry) string {
	return sqltext.Array(entries, 70, func(dst []byte, e *entry) []byte { return sqltext.AppendBytea(dst, e.key()) })
}

func digestArray(entries []*entry) string {
	return sqltext.Array(entries, 21, func(dst []byte, e *entry) []byte { return strconv.AppendInt(dst, int64(e.mark.Digest), 10) })
}

func periodArray(entries []*entry) string {
	return sqltext.Array(entries, 21, func(dst []byte, e *entry) []byte { return e.period.AppendFormat(dst, time.RFC3339) })
}

// appendRow appends a row of MySQL as text.
func appendRow(dst, id []byte, numbers ...int64) []byte {
	dst = sqltext.AppendBinary(append(dst, '('), id)
	for _, n := range numbers {
		dst = strconv.AppendInt(append(dst, ','), n, 10)
	}
	return append(dst, ')')
}

// timeout is a wait as PostgreSQL's lock_timeout, where zero would be forever.
func timeout(wait time.Duration) string {
	return strconv.FormatInt(max(wait.Milliseconds(), 1), 10) + "ms"
}

// moment is the time that chooses a message's partition: that of its id if this is a
// UUIDv7, which no copy can have otherwise, or else what the sender says.
func moment(m *hapax.Mark) (time.Time, error) {
	if at, ok := uuidTime(strings.Trim(string(m.Identity), `"`)); ok {
		return at, nil
	}
	if m.Time.IsZero() {
		return time.Time{}, fmt.Errorf("message without a time, and its id is no UUIDv7: marks in partitions need one that every copy has: %w", hapax.ErrMalformed)
	}
	if at := m.Time.UnixMicro(); at < 0 || m.Time.Year() > 9999 {
		return time.Time{}, fmt.Errorf("time %v: want one from 1970 to 9999: %w", m.Time, hapax.ErrMalformed)
	}
	return m.Time, nil
}

// uuidTime reads the time of a UUIDv7 (RFC 9562, 5.7) in its text form.
func uuidTime(id string) (time.Time, bool) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[14] != '7' || id[18] != '-' || id[23] != '-' {
		return time.Time{}, false
	}
	ms, err := strconv.ParseInt(id[:8]+id[9:13], 16, 64)
	if err != nil {
		return time.Time{}, false
	}
	return time.UnixMilli(ms), true
}
