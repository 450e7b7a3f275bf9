package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
)

// listener is a port, and the name by which clients reach it.
type listener struct {
	net  net.Listener
	host string // advertised
	port int32
}

// listen opens a port. Clients are told to come to advertise, or to the address
// itself if that is empty.
func listen(address, advertise string) (*listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if advertise == "" {
		advertise = l.Addr().String()
	}
	host, port, err := net.SplitHostPort(advertise)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("advertise %s: %w", advertise, err), l.Close())
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return nil, errors.Join(fmt.Errorf("advertise %s: %q is no port", advertise, port), l.Close())
	}
	return &listener{net: l, host: host, port: int32(number)}, nil
}

// accept serves connections until ctx ends or the port is closed, and returns when
// all of them are over.
func (b *Broker) accept(ctx context.Context, l *listener) {
	var conns sync.WaitGroup
	defer conns.Wait()
	stop := context.AfterFunc(ctx, func() { _ = l.net.Close() })
	defer stop()
	for pause := time.Duration(0); ; {
		nc, err := l.net.Accept()
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// Too many files are open, for one: those that are will be closed.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			b.options.Logger.Warn("accept", "listener", l.net.Addr().String(), "error", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			continue
		}
		pause = 0
		conns.Go(func() { b.serveConn(ctx, l, nc) })
	}
}

// serveConn serves one connection. When ctx ends it is closed: what it has sent
// and was not answered it sends again to who comes next.
func (b *Broker) serveConn(ctx context.Context, l *listener, nc net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer stop()
	defer func() { _ = nc.Close() }()
	if !b.seats.take(nc.RemoteAddr()) {
		b.options.Logger.Warn("connection refused: max.connections or max.connections.per.ip are there", "from", nc.RemoteAddr().String())
		return
	}
	defer b.seats.leave(nc.RemoteAddr())
	b.counters.accepted.Add(1)
	b.counters.connections.Add(1)
	defer b.counters.connections.Add(-1)
	c := &conn{b: b, net: nc, raw: newRawConn(nc), listen: l}
	if err := c.serve(ctx); err != nil && ctx.Err() == nil {
		b.options.Logger.Info("connection ended", "from", nc.RemoteAddr().String(), "client", c.client, "error", err)
	}
}
