package outbox

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hapaxmq/hapax"
)

// Record is what is to be published. It is the caller's: Put reads it, and keeps none of
// its slices.
type Record struct {
	ID       string // one for good; empty: a new one
	Topic    string
	OrderKey string // of records that are published in their order; empty: none
	Payload  []byte // nil is none, as of a record that deletes its key
	Headers  []hapax.Header
}

const (
	maxName    = 255 // bytes: of what becomes a header or a property of any broker
	maxKey     = 1 << 10
	maxHeaders = 64 << 10
)

// Validate reports the first thing that is wrong with r: an id or topic that is no UTF-8, has
// control characters or more than 255 bytes, no topic, an order key of more than 1,024
// bytes, headers of more than 65,536.
func (r *Record) Validate() error {
	if r.Topic == "" {
		return errors.New("record without a topic")
	}
	for what, name := range map[string]string{"topic": r.Topic, "id": r.ID} {
		if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
			return fmt.Errorf("%s %.40q: want UTF-8 without control characters, of at most %d bytes", what, name, maxName)
		}
	}
	if len(r.OrderKey) > maxKey {
		return fmt.Errorf("order key of %d bytes: want at most %d", len(r.OrderKey), maxKey)
	}
	size := 0
	for _, h := range r.Headers {
		size += len(h.Name) + len(h.Value)
	}
	if size > maxHeaders {
		return fmt.Errorf("headers of %d bytes: want at most %d", size, maxHeaders)
	}
	return nil
}

// ConflictError says that a record's id was put before with another payload. It is a
// [hapax.ErrConflict].
type ConflictError struct{ Topic, ID string }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("record %q of topic %q: %v", e.ID, e.Topic, hapax.ErrConflict)
}

// Is makes errors.Is(err, hapax.ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == hapax.ErrConflict }

// NewID returns a UUIDv7 (RFC 9562, 5.7): the time in milliseconds, and 74 random bits.
func NewID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	ms := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint64(id[:8], ms<<16|0x7000|uint64(id[6]&0x0f)<<8|uint64(id[7]))
	id[8] = id[8]&0x3f | 0x80
	text := hex.AppendEncode(make([]byte, 0, 36), id[:4])
	for _, part := range [][]byte{id[4:6], id[6:8], id[8:10], id[10:]} {
		text = hex.AppendEncode(append(text, '-'), part)
	}
	return string(text)
}
