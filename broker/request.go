package broker

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// header is what every request begins with.
//
//	int32 size · int16 key · int16 version · int32 correlation id · nullable string client id · [tags]
//
// Tags are there in flexible versions (KIP-482).
type header struct {
	key         int16
	version     int16
	correlation int32
	client      string
}

// errFrame says that bytes are no request: the connection is of no use any more.
var errFrame = errors.New("not a Kafka request")

// errCut is that of a client that went while it sent one.
var errCut = fmt.Errorf("%w: cut off", errFrame)

// maxPlain is how long a request may be that holds no records. What decoding makes
// of it is bounded: see package shape.
const maxPlain = 4 << 20

// leastRequest is how long one is with nothing in it but its key, version and
// correlation id.
const leastRequest = 8

// appendSized appends bytes behind their size.
func appendSized(b, bytes []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(bytes))), bytes...)
}

// readHeader takes the header off a frame. The body's flexibility is the request's
// to say, by its key and version.
func readHeader(frame []byte) (h header, rest []byte, err error) {
	if len(frame) < 10 {
		return h, nil, fmt.Errorf("%w: %d bytes are no header", errFrame, len(frame))
	}
	h.key = int16(binary.BigEndian.Uint16(frame))
	h.version = int16(binary.BigEndian.Uint16(frame[2:]))
	h.correlation = int32(binary.BigEndian.Uint32(frame[4:]))
	n := int(int16(binary.BigEndian.Uint16(frame[8:])))
	rest = frame[10:]
	if n > len(rest) {
		return h, nil, fmt.Errorf("%w: a client id of %d bytes in %d", errFrame, n, len(rest))
	}
	if n > 0 {
		h.client, rest = string(rest[:n]), rest[n:]
	}
	return h, rest, nil
}

// skipTags takes the tags off that follow a flexible header. None is known.
func skipTags(b []byte) ([]byte, error) {
	count, b, err := uvarint(b)
	if err == nil && count > uint64(len(b))/2 {
		err = fmt.Errorf("%w: %d tags in %d bytes", errFrame, count, len(b))
	}
	for ; err == nil && count > 0; count-- {
		var size uint64
		if _, b, err = uvarint(b); err == nil {
			size, b, err = uvarint(b)
		}
		if err == nil && size > uint64(len(b)) {
			err = fmt.Errorf("%w: a tag of %d bytes in %d", errFrame, size, len(b))
		}
		if err == nil {
			b = b[size:]
		}
	}
	return b, err
}

func uvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, fmt.Errorf("%w: its header's tags are cut off", errFrame)
	}
	return v, b[n:], nil
}

// readRequest decodes a request of a version that the node serves. Its bytes stay
// the frame's.
func (a *api) readRequest(h header, rest []byte) (kmsg.Request, error) {
	req := kmsg.RequestForKey(h.key)
	req.SetVersion(h.version)
	if req.IsFlexible() {
		var err error
		if rest, err = skipTags(rest); err != nil {
			return nil, err
		}
	}
	if err := a.shapes[h.version-a.min].Check(rest); err != nil {
		return nil, fmt.Errorf("%w: %s version %d: %w", errFrame, kmsg.NameForKey(h.key), h.version, err)
	}
	if err := req.ReadFrom(rest); err != nil {
		return nil, fmt.Errorf("%w: %s version %d: %w", errFrame, kmsg.NameForKey(h.key), h.version, err)
	}
	return req, nil
}

// appendResponse encodes a response behind its size. The header of ApiVersions'
// never has tags, so that whoever does not know the version can read it (KIP-511).
func appendResponse(b []byte, correlation int32, resp kmsg.Response) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	if resp.IsFlexible() && resp.Key() != keyAPIVersions {
		b = append(b, 0)
	}
	b = resp.AppendTo(b)
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}
