package broker

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// intake reads one connection's requests. Short ones go into memory of its own; for
// others it takes some of the node's as their bytes come, so that a size alone takes
// none. One goroutine uses it.
type intake struct {
	*bufio.Reader
	memory   *memory
	patience *patience

	own   []byte // for short requests
	share *share // of a long one; nil: there is none
	long  []byte // its bytes
}

const (
	// ownBytes are a connection's own. Of a longer request so many gather in its
	// reader before it takes any of the node's memory.
	ownBytes = 64 << 10
	// firstTake is what it takes then; after that as much again as has come.
	firstTake = 1 << 20
)

func newIntake(r io.Reader, m *memory, p *patience) *intake {
	return &intake{Reader: bufio.NewReaderSize(r, ownBytes), memory: m, patience: p}
}

// errSlow is that of a client that sent too slowly what others wait to send.
var errSlow = errors.New("cut off: the memory that the request has is wanted (queued.max.request.bytes)")

// request reads a request without its size, which is most bytes long at most, and
// maxPlain if it is no Produce. Its bytes stay until done.
func (in *intake) request(ctx context.Context, most int) ([]byte, error) {
	start, err := in.peek(4)
	if err != nil {
		return nil, err
	}
	n := int(int32(binary.BigEndian.Uint32(start)))
	switch {
	case n < leastRequest:
		return nil, fmt.Errorf("%w: size %d", errFrame, n)
	case n > most:
		return nil, fmt.Errorf("%w: %s", errFrame, whatElse(start, n, most))
	}
	if start, err = in.peek(6); err != nil {
		return nil, err
	}
	if key := int16(binary.BigEndian.Uint16(start[4:])); key != keyProduce && n > maxPlain {
		return nil, fmt.Errorf("%w: %s", errFrame, whatElse(start, n, maxPlain))
	}
	return in.sized(ctx, n)
}

// token reads bytes behind their size, most of them at most. They stay until done.
func (in *intake) token(ctx context.Context, most int) ([]byte, error) {
	size, err := in.peek(4)
	if err != nil {
		return nil, err
	}
	n := int(int32(binary.BigEndian.Uint32(size)))
	if n < 0 || n > most {
		return nil, fmt.Errorf("%w: a token of %d bytes, and at most %d are allowed", errFrame, n, most)
	}
	return in.sized(ctx, n)
}

// peek is what comes next. It is an io.EOF if nothing does.
func (in *intake) peek(n int) ([]byte, error) {
	b, err := in.Peek(n)
	if err != nil && len(b) > 0 {
		err = fmt.Errorf("%w after %d bytes", errCut, len(b))
	}
	return b, err
}

// whatElse says what begins like a request that is too long: as a rule the client
// speaks something else.
func whatElse(start []byte, size, most int) string {
	switch text := string(start[:4]); {
	case strings.HasPrefix(text, "\x16\x03"):
		return "TLS, and the listener's protocol is without"
	case text == "GET " || text == "HEAD" || text == "POST":
		return "HTTP, which has a port of its own"
	}
	return fmt.Sprintf("%d bytes, and at most %d are allowed", size, most)
}

// sized reads n bytes behind their size, which was only looked at.
func (in *intake) sized(ctx context.Context, n int) ([]byte, error) {
	_, _ = in.Discard(4) // they are there
	if n > ownBytes {
		return in.readLong(ctx, n)
	}
	if cap(in.own) < n {
		in.own = make([]byte, min(max(n, 2*cap(in.own)), ownBytes))
	}
	got, err := io.ReadFull(in, in.own[:n])
	if err != nil {
		return nil, cutAt(got, n)
	}
	return in.own[:n], nil
}

func cutAt(got, n int) error { return fmt.Errorf("%w after %d of %d bytes", errCut, got, n) }

func (in *intake) readLong(ctx context.Context, n int) ([]byte, error) {
	if b, err := in.Peek(ownBytes); err != nil {
		return nil, cutAt(len(b), n)
	}
	in.share = in.memory.begin(n, in.patience.end)
	var err error
	for err == nil && len(in.long) < n {
		if len(in.long) == cap(in.long) {
			if err := in.grow(ctx, n); err != nil {
				return nil, err
			}
		}
		if in.share.cut.Load() { // the wait for memory has given it time anew
			break
		}
		var got int
		got, err = in.Read(in.long[len(in.long):min(n, cap(in.long))])
		in.long = in.long[:len(in.long)+got]
		in.share.last.Store(time.Now().UnixNano())
	}
	switch got := len(in.long); {
	case !in.memory.came(in.share):
		return nil, fmt.Errorf("%w: %d of %d bytes have come", errSlow, got, n)
	case got < n:
		return nil, cutAt(got, n)
	}
	return in.long, nil
}

// grow makes room for more of a request of n bytes.
func (in *intake) grow(ctx context.Context, n int) error {
	size := capacity(min(n, max(firstTake, 2*len(in.long))))
	waited, err := in.memory.take(ctx, in.share, size-cap(in.long))
	if waited {
		in.patience.goOn()
	}
	if err != nil {
		return err
	}
	larger := append(in.memory.buffer(size), in.long...)
	in.memory.reuse(in.long)
	in.long = larger
	return nil
}

// done lets go of the request that was read last.
func (in *intake) done() {
	if in.share == nil {
		return
	}
	in.memory.reuse(in.long)
	in.memory.release(in.share)
	in.share, in.long = nil, nil
}
