package broker

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// listener is a port, and the name by which clients reach it.
type listener struct {
	net      net.Listener
	host     string // advertised
	port     int32
	settings *settings   // the node's, or its own
	tls      *tls.Config // nil: none
	login    bool        // whether clients log in
}

// ports are all of a node's.
type ports struct {
	b            *Broker
	open         []*listener
	certificates *certificates // those of no single listener; nil: there are none

	ended, failed refusals // connections, and logins
}

// listen opens them.
func (p *ports) listen(all []Listener) (err error) {
	if p.certificates, err = p.load(&p.b.settings); err != nil {
		return err
	}
	if err := checkListeners(&p.b.settings, all); err != nil {
		return err
	}
	for _, o := range all {
		l, err := p.listenOn(o)
		if err != nil {
			return err
		}
		p.open = append(p.open, l)
	}
	return nil
}

func (p *ports) load(s *settings) (*certificates, error) {
	return loadCertificates(p.b.options.FS, s, p.b.options.Clock, p.b.options.Logger)
}

// listenOn opens one. Clients are told to come to what it advertises, or to the
// address itself if that is empty.
func (p *ports) listenOn(o Listener) (*listener, error) {
	set, certificates := settingsOf(&p.b.settings, &o), p.certificates
	if set != &p.b.settings {
		var err error
		if certificates, err = p.load(set); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", o.Address, err)
		}
	}
	if o.Protocol.Encrypted() && certificates == nil {
		return nil, fmt.Errorf("listen on %s: %s wants a certificate: set ssl.keystore.location to a file of PEM with it and its private key", o.Address, o.Protocol)
	}
	l, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", o.Address, err)
	}
	advertise := cmp.Or(o.Advertise, l.Addr().String())
	host, port, err := net.SplitHostPort(advertise)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("advertise %s: %w", advertise, err), l.Close())
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return nil, errors.Join(fmt.Errorf("advertise %s: %q is no port", advertise, port), l.Close())
	}
	opened := &listener{net: l, host: host, port: int32(number), settings: set, login: o.Protocol.Login()}
	if o.Protocol.Encrypted() {
		opened.tls = certificates.server(!opened.login)
	}
	return opened, nil
}

// run serves all of them until ctx ends.
func (p *ports) run(ctx context.Context) {
	open := slices.ContainsFunc(p.open, func(l *listener) bool { return !l.login })
	if !open && len(p.b.users.list()) == 0 {
		p.b.options.Logger.Warn("nobody can log in: there are no users")
	}
	var serving sync.WaitGroup
	for _, l := range p.open {
		serving.Go(func() { p.accept(ctx, l) })
	}
	serving.Wait()
}

// accept serves connections until ctx ends or the port is closed, and returns when
// all of them are over.
func (p *ports) accept(ctx context.Context, l *listener) {
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
			p.b.options.Logger.Warn("accept", "listener", l.net.Addr().String(), "error", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			continue
		}
		pause = 0
		conns.Go(func() { p.serveConn(ctx, l, nc) })
	}
}

// serveConn serves one connection. When ctx ends it is closed: what it has sent
// and was not answered it sends again to who comes next.
func (p *ports) serveConn(ctx context.Context, l *listener, nc net.Conn) {
	b := p.b
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer stop()
	defer func() { _ = nc.Close() }()
	if !b.seats.take(nc.RemoteAddr()) {
		p.ended.tell(b.options.Logger, time.Now(), slog.LevelWarn, "connection refused: max.connections or max.connections.per.ip are there", "from", nc.RemoteAddr().String())
		return
	}
	defer b.seats.leave(nc.RemoteAddr())
	b.counters.accepted.Add(1)
	b.counters.connections.Add(1)
	defer b.counters.connections.Add(-1)
	c := &conn{b: b, net: nc, raw: newRawConn(nc), listen: l}
	if l.login {
		c.login = &login{users: b.users, settings: l.settings, now: b.options.Clock}
	}
	c.patience = patience{net: nc, idle: b.settings.maxIdle}
	c.patience.letIn()
	err := l.secure(ctx, c)
	if err == nil {
		err = c.serve(ctx)
	}
	if err != nil && ctx.Err() == nil {
		p.tell(c, err)
	}
}

// tell logs how a connection ended.
func (p *ports) tell(c *conn, err error) {
	log, now := p.b.options.Logger, time.Now()
	args := []any{"from", c.net.RemoteAddr().String(), "client", c.client, "error", err}
	switch {
	case c.over != nil:
		p.failed.tell(log, now, slog.LevelWarn, "login failed", args...)
	case errors.Is(err, errFrame) && !errors.Is(err, errCut) || errors.Is(err, errSlow) || errors.Is(err, errTLS):
		p.ended.tell(log, now, slog.LevelWarn, "connection closed", args...)
	default:
		p.ended.tell(log, now, slog.LevelInfo, "connection ended", args...)
	}
}
