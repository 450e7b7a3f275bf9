package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

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

// readFrame reads a request without its size into buf, which it grows no further
// than most bytes, and than maxPlain if it is no Produce.
func readFrame(r io.Reader, buf []byte, most int) ([]byte, error) {
	var start [6]byte
	if n, err := io.ReadFull(r, start[:]); err != nil {
		if n > 0 {
			err = fmt.Errorf("%w after %d bytes", errCut, n)
		}
		return nil, err // io.EOF between two requests
	}
	n := int(int32(binary.BigEndian.Uint32(start[:])))
	if key := int16(binary.BigEndian.Uint16(start[4:])); key != keyProduce {
		most = min(most, maxPlain)
	}
	switch {
	case n < 8:
		return nil, fmt.Errorf("%w: size %d", errFrame, n)
	case n > most:
		return nil, fmt.Errorf("%w: %s", errFrame, whatElse(start[:], n, most))
	}
	return readGrowing(r, append(buf[:0], start[4:]...), n)
}

// whatElse says what begins like a request that is too long: as a rule the client
// speaks something else.
func whatElse(start []byte, size, most int) string {
	switch text := string(start); {
	case start[0] == 0x16 && start[1] == 3:
		return "TLS, and the listener's protocol is without"
	case strings.HasPrefix(text, "GET ") || strings.HasPrefix(text, "HEAD ") || strings.HasPrefix(text, "POST "):
		return "HTTP, which has a port of its own"
	}
	return fmt.Sprintf("%d bytes, and at most %d are allowed", size, most)
}

// readSized reads bytes behind their size, most of them at most.
func readSized(r io.Reader, most int) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := int(int32(binary.BigEndian.Uint32(size[:])))
	if n < 0 || n > most {
		return nil, fmt.Errorf("%w: a token of %d bytes, and at most %d are allowed", errFrame, n, most)
	}
	return readGrowing(r, nil, n)
}

// appendSized appends bytes behind their size.
func appendSized(b, bytes []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(bytes))), bytes...)
}

// readGrowing reads up to n bytes in all. It makes room as they come, so that a size alone
// takes no memory.
func readGrowing(r io.Reader, buf []byte, n int) ([]byte, error) {
	const step = 1 << 20
	for len(buf) < n {
		more := min(n-len(buf), max(step, cap(buf)-len(buf)))
		if cap(buf)-len(buf) < more {
			buf = append(make([]byte, 0, min(n, 2*len(buf)+more)), buf...)
		}
		got, err := io.ReadFull(r, buf[len(buf):len(buf)+more])
		buf = buf[:len(buf)+got]
		if err != nil {
			return nil, fmt.Errorf("%w after %d of %d bytes", errCut, len(buf), n)
		}
	}
	return buf, nil
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
