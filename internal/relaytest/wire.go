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
	lose     atomic.Bool
	lost     chan struct{} // closed when an answer was lost

	mu    sync.Mutex
	once  *sync.Once
	conns []net.Conn
	all   sync.WaitGroup
}

// NewWire makes a wire to the address of a server, which ends with the test.
func NewWire(t *testing.T, server string) *Wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{Address: l.Addr().String(), server: server, listener: l, lost: make(chan struct{}), once: &sync.Once{}}
	w.all.Go(w.serve)
	t.Cleanup(func() {
		_ = l.Close()
		w.Cut()
		w.all.Wait()
	})
	return w
}

// Lose has the wire lose all answers from now on, until [Wire.Mend]. What is asked gets
// through. The channel is closed when the first answer was lost.
func (w *Wire) Lose() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost, w.once = make(chan struct{}), &sync.Once{}
	w.lose.Store(true)
	return w.lost
}

// Mend has connections pass answers, but those that have lost one.
func (w *Wire) Mend() { w.lose.Store(false) }

// Cut ends all connections.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
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
		w.mu.Lock()
		w.conns = append(w.conns, client, server)
		w.mu.Unlock()
		w.all.Go(func() { pass(server, client, func() bool { return true }) })
		lossy := false
		w.all.Go(func() {
			pass(client, server, func() bool {
				lossy = lossy || !w.passes()
				return !lossy
			})
		})
	}
}

// passes tells whether an answer gets through.
func (w *Wire) passes() bool {
	if !w.lose.Load() {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.once.Do(func() { close(w.lost) })
	return false
}

// pass copies bytes until a side ends, and then ends both.
func pass(to, from net.Conn, passes func() bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err == nil && passes() {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			_ = from.Close()
			_ = to.Close()
			return
		}
	}
}
