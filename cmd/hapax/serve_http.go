package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/hapaxmq/hapax/broker"
)

// serveHTTP serves what operators ask, until stop.
func (c *serveCommand) serveHTTP(w *world, b *broker.Broker) (stop func() error, err error) {
	address := "127.0.0.1:8080"
	if c.HTTP != nil {
		address = *c.HTTP
	}
	if address == "" {
		return func() error { return nil }, nil
	}
	if err := c.mayListen("--http", address); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--http %s: %w (another ADDR, or \"\" for nowhere)", address, err)
	}
	s := &http.Server{Handler: b.Handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(w.stderr.logger().Handler(), slog.LevelWarn)}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	_, err = fmt.Fprintf(w.stdout, "Operators: http://%s/metrics, /api/node, /healthz, /readyz\n", l.Addr())
	return func() error {
		closed := s.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			return errors.Join(err, closed)
		}
		return closed
	}, err
}

// mayListen refuses an address that others than this machine reach, unless they may.
func (c *serveCommand) mayListen(flag, address string) error {
	host, _, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		return usage("%s %s: want HOST:PORT", flag, address)
	case !c.Insecure && !loopback(host):
		return usage("%s %s can be reached from beyond this machine, by anybody: use 127.0.0.1, or say --insecure", flag, address)
	}
	return nil
}
