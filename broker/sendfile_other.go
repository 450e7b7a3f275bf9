//go:build !linux

package broker

import (
	"errors"
	"net"
	"os"
)

// rawConn is there on systems that can send parts of files by themselves.
type rawConn struct{}

func newRawConn(net.Conn) *rawConn { return nil }

func (*rawConn) sendfile(*os.File, int64, int) error { return errors.ErrUnsupported }
