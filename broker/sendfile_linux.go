package broker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// rawConn is a connection to which the system can send parts of files by itself.
type rawConn struct{ raw syscall.RawConn }

// newRawConn is nil for a connection that is no plain TCP: what is encrypted has to
// pass through this process.
func newRawConn(c net.Conn) *rawConn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return &rawConn{raw}
}

// sendfile sends n bytes of a file from an offset on. It gives the offset itself:
// the file's cursor is shared by all who read it.
func (c *rawConn) sendfile(f *os.File, at int64, n int) error {
	from, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	held := from.Control(func(file uintptr) { sent = c.copy(int(file), at, n) })
	return errors.Join(held, sent)
}

func (c *rawConn) copy(file int, at int64, n int) error {
	var failed error
	wrote := c.raw.Write(func(to uintptr) (done bool) {
		for n > 0 {
			sent, err := unix.Sendfile(int(to), file, &at, n)
			switch {
			case errors.Is(err, unix.EAGAIN):
				return false // until the connection takes more
			case errors.Is(err, unix.EINTR):
				continue
			case err != nil:
				failed = fmt.Errorf("send records: %w", err)
				return true
			case sent == 0:
				failed = fmt.Errorf("send records: %w", io.ErrUnexpectedEOF)
				return true
			}
			n -= sent
		}
		return true
	})
	return errors.Join(wrote, failed)
}
