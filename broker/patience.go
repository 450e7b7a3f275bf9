package broker

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// patience is how long a connection waits for its client: to send a request, and to
// read an answer. Its deadlines are moved from time to time, not at each request.
// One goroutine reads and one writes.
type patience struct {
	net  net.Conn
	idle time.Duration // connections.max.idle.ms

	read    time.Time // when the deadlines were moved last
	written time.Time
}

// maxLogin is how long a client may take to be let in: for TLS and login together.
const maxLogin = 30 * time.Second

// letIn gives a new client its time.
func (p *patience) letIn() {
	_ = p.net.SetDeadline(time.Now().Add(min(maxLogin, p.idle))) // a connection that is over says so when it is read
}

// awaitRequest returns when something can be read. A client that has logged in may
// be idle for so long, and longer if it is busy: it waits for an answer.
func (p *patience) awaitRequest(r *bufio.Reader, loggedIn bool, busy func() bool) error {
	for {
		if now := time.Now(); loggedIn && p.due(now, p.read) {
			p.read = now
			_ = p.net.SetReadDeadline(now.Add(p.idle)) // as above
		}
		if r.Buffered() > 0 {
			return nil
		}
		_, err := r.Peek(1)
		switch {
		case err == nil || !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case !loggedIn:
			return errors.New("the client took too long to log in")
		case !busy():
			return fmt.Errorf("no request for %v (connections.max.idle.ms)", p.idle)
		}
		p.read = time.Time{}
	}
}

// goOn gives the client the time again, within a request, that the node has taken.
func (p *patience) goOn() {
	if !p.read.IsZero() { // else it has to log in
		p.read = time.Now()
		_ = p.net.SetReadDeadline(p.read.Add(p.idle)) // as above
	}
}

// end ends the client's time to send. Any goroutine may call it.
func (p *patience) end() { _ = p.net.SetReadDeadline(time.Unix(1, 0)) } // as above

// loggedIn ends the time to log in.
func (p *patience) loggedIn() { p.read = time.Time{} }

// answer gives the client time to read one.
func (p *patience) answer() {
	if now := time.Now(); p.due(now, p.written) {
		p.written = now
		_ = p.net.SetWriteDeadline(now.Add(p.idle)) // a connection that is over says so when it is written to
	}
}

func (p *patience) due(now, last time.Time) bool { return now.Sub(last) >= p.idle/16 }
