package outbox

import (
	"encoding/binary"
	"errors"

	"github.com/hapaxmq/hapax"
)

var errHeaders = errors.New("headers of a record are damaged")

// AppendHeaders appends headers to dst as an outbox stores them: of each the length of
// its name and the name, then one more than the length of its value and the value, or zero for a
// value that is nil; lengths are unsigned varints.
func AppendHeaders(dst []byte, headers []hapax.Header) []byte {
	for _, h := range headers {
		dst = binary.AppendUvarint(dst, uint64(len(h.Name)))
		dst = append(dst, h.Name...)
		if h.Value == nil {
			dst = append(dst, 0)
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(len(h.Value))+1)
		dst = append(dst, h.Value...)
	}
	return dst
}

// ParseHeaders reads what [AppendHeaders] appended. Values are parts of stored. The
// error is a [hapax.ErrCorrupt].
func ParseHeaders(stored []byte) (headers []hapax.Header, err error) {
	for len(stored) > 0 {
		var h hapax.Header
		var name []byte
		if name, stored, err = cut(stored, 0); err != nil {
			return nil, err
		}
		if len(stored) > 0 && stored[0] == 0 {
			stored = stored[1:]
		} else if h.Value, stored, err = cut(stored, 1); err != nil {
			return nil, err
		}
		h.Name = string(name)
		headers = append(headers, h)
	}
	return headers, nil
}

// cut takes a part off, whose length is stored as that much more.
func cut(stored []byte, more uint64) (part, rest []byte, err error) {
	size, n := binary.Uvarint(stored)
	if n <= 0 || size < more || size-more > uint64(len(stored)-n) {
		return nil, nil, errors.Join(hapax.ErrCorrupt, errHeaders)
	}
	end := n + int(size-more)
	return stored[n:end:end], stored[end:], nil
}
