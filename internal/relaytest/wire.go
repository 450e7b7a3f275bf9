//go:build unix

package relaytest

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Wire stands between relays and a server, and can lose what the server answers.
type Wire struct {
	Address string

	server   string
	listener net.Listener

	mu    sync.Mutex
	lose  bool
	pairs []*pair
	all   sync.WaitGroup
}

// pair is a connection on both sides of the wire.
type pair struct {
	client, server net.Conn

	lossy atomic.Bool
	lost  func()
}

// NewWire makes a wire to the address of a server, which ends with the test.
func NewWire(t *testing.T, server string) *Wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{Address: l.Addr().String(), server: server, listener: l}
	w.all.Go(w.serve)
	t.Cleanup(func() {
		_ = l.Close()
		w.Cut()
		w.all.Wait()
	})
	return w
}

// Lose has all connections lose all answers from now on, and those that are made until
// [Wire.Mend]. What is asked gets through. The channel is closed when the first answer was
// lost.
func (w *Wire) Lose() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	lost := make(chan struct{})
	tell := sync.OnceFunc(func() { close(lost) })
	w.lose = true
	for _, p := range w.pairs {
		p.lost = tell
		p.lossy.Store(true)
	}
	return lost
}

// Mend has the connections that are made from now on pass answers.
func (w *Wire) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lose = false
}

// Cut ends all connections.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.pairs {
		p.close()
	}
	w.pairs = nil
}

func (w *Wire) serve() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p := &pair{client: client, server: server, lost: func() {}}
		w.mu.Lock()
		p.lossy.Store(w.lose)
		w.pairs = append(w.pairs, p)
		w.mu.Unlock()
		w.all.Go(func() { p.pass(server, client, false) })
		w.all.Go(func() { p.pass(client, server, true) })
	}
}

// pass copies bytes until a side ends, and then ends both.
func (p *pair) pass(to, from net.Conn, answers bool) {
	defer p.close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		switch {
		case err == nil && answers && p.lossy.Load():
			p.lost()
		case err == nil:
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

func (p *pair) close() {
	_ = p.client.Close()
	_ = p.server.Close()
}
