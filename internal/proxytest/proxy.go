// Package proxytest stands between clients and a server in tests, and does what networks do:
// it loses a connection at a certain question or its answer, and lets nothing through for a
// while.
package proxytest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// When is when to cut a connection.
type When int

// The moments at which a connection is lost.
const (
	Before When = iota + 1 // the server does not hear the question
	After                  // the server has answered it, and the client does not hear that
)

// Proxy leads to a server. Its methods may be called at any time.
type Proxy struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	when  When              // zero: no cut is to come
	which func([]byte) bool // the question to cut at
	conns map[net.Conn]bool
	flows chan struct{} // closed while something is let through
	all   sync.WaitGroup
}

// Start starts a proxy that ends with tb.
func Start(tb testing.TB, server string) *Proxy {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{listener: listener, server: server, conns: map[net.Conn]bool{}, flows: make(chan struct{})}
	close(p.flows)
	p.all.Go(p.serve)
	tb.Cleanup(func() {
		_ = listener.Close()
		p.Sever()
		p.Thaw()
		p.all.Wait()
	})
	return p
}

// Address is where clients connect to.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Cut cuts one connection, at the next question that which picks. It is given what clients say
// as it comes, which is a question each time unless it is long, or they do not wait for
// answers.
func (p *Proxy) Cut(when When, which func(said []byte) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.when, p.which = when, which
}

// Count counts what clients say from now on, as [Proxy.Cut] is given it, until the next cut is
// planned.
func (p *Proxy) Count() *atomic.Int64 {
	questions := new(atomic.Int64)
	p.Cut(Before, func([]byte) bool { questions.Add(1); return false })
	return questions
}

// Waits tells whether a cut is still to come, and lets it not come any more.
func (p *Proxy) Waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.when = 0 }()
	return p.when != 0
}

// picked tells when to cut, if it is at this question.
func (p *Proxy) picked(said []byte) (when When) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.when != 0 && p.which(said) {
		when, p.when = p.when, 0
	}
	return when
}

// Freeze lets nothing through until [Proxy.Thaw]. No connection ends by it, and new ones begin.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flows = make(chan struct{})
}

// Thaw lets through what has been said meanwhile.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.flows:
	default:
		close(p.flows)
	}
}

// Sever ends all connections, and what was said on them and not let through is lost.
func (p *Proxy) Sever() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *Proxy) flow() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flows
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = true, true
		p.mu.Unlock()
		last := make(chan struct{}) // closed when this connection's last answer is to come
		p.all.Go(func() {
			p.pass(server, client, func(said []byte) (cut bool) {
				when := p.picked(said)
				if when == After {
					close(last)
				}
				return when == Before
			})
		})
		p.all.Go(func() {
			p.pass(client, server, func([]byte) (cut bool) {
				select {
				case <-last:
					return true
				default:
					return false
				}
			})
		})
	}
}

// pass copies bytes until a side ends or they are cut, and then ends both.
func (p *Proxy) pass(to, from net.Conn, cut func([]byte) bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err == nil {
			<-p.flow()
			if cut(buf[:n]) {
				err = io.EOF
			}
		}
		if err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			_ = from.Close()
			_ = to.Close()
			p.mu.Lock()
			delete(p.conns, from)
			delete(p.conns, to)
			p.mu.Unlock()
			return
		}
	}
}
