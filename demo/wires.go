package demo

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// wires stand between gateways and brokers. A connection says in its first line whose it
// is and where it goes; what follows is Kafka's protocol. It is cut when an ack is to be
// lost: behind the request, which the broker has carried out, and before its answer.
type wires struct {
	listener net.Listener

	mu    sync.Mutex
	cuts  map[string]func() // by column, when the next ack of a Produce is to be lost
	conns map[net.Conn]bool
	all   sync.WaitGroup
}

func newWires() (*wires, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &wires{listener: listener, cuts: map[string]func(){}, conns: map[net.Conn]bool{}}
	w.all.Go(w.serve)
	return w, nil
}

func (w *wires) address() string { return w.listener.Addr().String() }

// loseAck loses the ack of a column's next Produce, and calls then.
func (w *wires) loseAck(column string, then func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts[column] = then
}

func (w *wires) close() {
	_ = w.listener.Close() // it only listens
	w.mu.Lock()
	for conn := range w.conns {
		_ = conn.Close()
	}
	w.mu.Unlock()
	w.all.Wait()
}

func (w *wires) serve() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.all.Go(func() {
			w.keep(client)
			defer w.drop(client)
			w.connect(client)
		})
	}
}

func (w *wires) keep(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[c] = true
}

func (w *wires) drop(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = c.Close() // that is the fault, or the other side has ended
	delete(w.conns, c)
}

// connect connects a client, until either side ends or the connection is cut.
func (w *wires) connect(client net.Conn) {
	in := bufio.NewReader(client)
	first, err := in.ReadString('\n')
	column, address, ok := strings.Cut(strings.TrimSpace(first), " ")
	if err != nil || !ok {
		return
	}
	var d net.Dialer
	broker, err := d.DialContext(context.Background(), "tcp", address)
	if err != nil {
		return
	}
	w.keep(broker)
	defer w.drop(broker)
	asked := make(chan int16, 1024) // the kinds of requests whose answers are due, in order
	ended := make(chan struct{})
	w.all.Go(func() {
		defer close(ended)
		defer w.drop(client)
		w.answers(column, client, broker, asked)
	})
	for {
		frame, err := readFrame(in)
		if err != nil || len(frame) < 8 {
			break
		}
		asked <- int16(binary.BigEndian.Uint16(frame[4:])) //nolint:gosec // as Kafka has it
		if _, err := broker.Write(frame); err != nil {
			break
		}
	}
	w.drop(broker)
	<-ended
}

// answers passes on what the broker answers, until an ack is to be lost.
func (w *wires) answers(column string, client, broker net.Conn, asked <-chan int16) {
	const produce = 0
	for {
		frame, err := readFrame(broker)
		if err != nil {
			return
		}
		if <-asked == produce {
			w.mu.Lock()
			then := w.cuts[column]
			delete(w.cuts, column)
			w.mu.Unlock()
			if then != nil {
				then()
				return
			}
		}
		if _, err := client.Write(frame); err != nil {
			return
		}
	}
}

// readFrame reads a request or an answer, with its size.
func readFrame(r io.Reader) ([]byte, error) {
	const most = 64 << 20
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > most {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	frame := make([]byte, 4+n)
	copy(frame, size[:])
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}
