package inboxtest

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// proxy stands between clients and a server, and cuts a connection while a COMMIT is
// on its way. It knows one by the word, in statements that are not encrypted.
type proxy struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	cut   cut
	conns map[net.Conn]bool
	all   sync.WaitGroup
}

// cut is when to cut a connection.
type cut int

const (
	never         cut = iota
	beforeCommit      // the server does not hear of it
	afterCommit       // the server has answered, and the client does not hear of it
	pastTheCommit     // the next answer is that of the commit
)

func newProxy(tb testing.TB, server string) *proxy {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{listener: listener, server: server, conns: map[net.Conn]bool{}}
	p.all.Go(p.serve)
	tb.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		for conn := range p.conns {
			_ = conn.Close()
		}
		p.mu.Unlock()
		p.all.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// arm has the next commit cut.
func (p *proxy) arm(c cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = c
}

// step moves from one state to the next, and tells whether it did.
func (p *proxy) step(from, to cut) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut != from {
		return false
	}
	p.cut = to
	return true
}

func (p *proxy) serve() {
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
		committing := make(chan struct{}) // closed when this connection's commit has passed
		p.all.Go(func() { p.pass(server, client, p.hearsCommit(committing)) })
		p.all.Go(func() { p.pass(client, server, p.hearsAnswer(committing)) })
	}
}

// pass copies bytes until a side ends or stop says so, and then ends both.
func (p *proxy) pass(to, from net.Conn, stop func([]byte) bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err == nil && stop(buf[:n]) {
			err = io.EOF
		}
		if err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			_ = from.Close()
			_ = to.Close()
			return
		}
	}
}

// hearsCommit looks at what a client says, which is one statement at a time.
func (p *proxy) hearsCommit(committing chan struct{}) func([]byte) bool {
	return func(said []byte) bool {
		if !bytes.Contains(bytes.ToLower(said), []byte("commit")) {
			return false
		}
		if p.step(beforeCommit, never) {
			return true
		}
		if p.step(afterCommit, pastTheCommit) {
			close(committing)
		}
		return false
	}
}

// hearsAnswer looks at what the server answers.
func (p *proxy) hearsAnswer(committing chan struct{}) func([]byte) bool {
	return func([]byte) bool {
		select {
		case <-committing:
			return p.step(pastTheCommit, never)
		default:
			return false
		}
	}
}
