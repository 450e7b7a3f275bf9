package brokertest

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fate is what becomes of a request on its way to the broker.
type fate int

const (
	pass      fate = iota
	cut            // the connection ends before it
	cutWithin      // the connection ends in the middle of it
	cutAnswer      // the connection ends in the middle of its answer
	swallow        // it is carried out, and the connection ends before its answer
	delay          // it comes later, and all behind it on its connection
	late           // the connection ends, and it comes later by another one
	replay         // it comes again later, by another connection
	twin           // it comes by two connections at once; the client gets the first answer
)

func (f fate) String() string {
	return [...]string{"pass", "cut before", "cut within", "cut within the answer to", "swallow the answer to", "delay", "late", "replay", "twin"}[f]
}

// The keys of requests that a broker must know when they come late or again.
const (
	keyProduce         = 0
	keyInitProducerID  = 22
	keyAddPartitions   = 24
	keyAddOffsets      = 25
	keyEndTxn          = 26
	keyTxnOffsetCommit = 28
)

// keyTwin stands for a Produce that comes twice.
const keyTwin = -1

// repeatable tells whether a request may come late or again. Before KIP-890 the
// protocol cannot tell a late request from one of the next transaction (KAFKA-17754).
func repeatable(key, version int16) bool {
	switch key {
	case keyProduce:
		return version >= 12
	case keyEndTxn, keyTxnOffsetCommit:
		return version >= 5
	}
	return key == keyAddPartitions || key == keyAddOffsets
}

// oneIn is how many requests of a kind go by for one that does not simply pass.
func oneIn(key int16) int {
	switch key {
	case keyProduce:
		return 100
	case keyInitProducerID, keyAddPartitions, keyAddOffsets, keyEndTxn, keyTxnOffsetCommit:
		return 10
	}
	return 200
}

// proxy stands between clients and a broker, on an address of its own, and does harm
// to requests until it is calmed.
type proxy struct {
	timeline *timeline
	to       string // the broker's address
	net      net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	calm     atomic.Bool
	double   atomic.Bool          // the next Produce is to come twice
	fixed    func(key int16) fate // instead of drawing one; nil: one is drawn

	serving sync.WaitGroup
	coming  sync.WaitGroup // requests that come later

	mu      sync.Mutex
	rng     *rand.Rand
	waiting map[int16][]chan struct{} // for the next answer of a kind
}

func newProxy(t *timeline, to string, seed uint64) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{timeline: t, to: to, net: l, rng: rand.New(rand.NewPCG(seed, 1)), waiting: map[int16][]chan struct{}{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.serving.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.net.Addr().String() }

// close ends all connections.
func (p *proxy) close() {
	p.cancel()
	_ = p.net.Close() // it only listens
	p.serving.Wait()
	p.coming.Wait()
}

// quiet lets everything pass from now on, and returns when what was to come later has
// come.
func (p *proxy) quiet() {
	p.calm.Store(true)
	p.coming.Wait()
}

// answered is closed when the next answer to a kind of request has been passed on.
func (p *proxy) answered(key int16) <-chan struct{} {
	c := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[key] = append(p.waiting[key], c)
	return c
}

// doubled makes the next Produce come twice, and is closed when it is answered.
func (p *proxy) doubled() <-chan struct{} {
	c := p.answered(keyTwin)
	p.double.Store(true)
	return c
}

func (p *proxy) passed(key int16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.waiting[key] {
		close(c)
	}
	delete(p.waiting, key)
}

func (p *proxy) accept() {
	for {
		client, err := p.net.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		rng := rand.New(rand.NewPCG(p.rng.Uint64(), 2))
		p.mu.Unlock()
		p.serving.Go(func() {
			broker, err := p.dial()
			if err != nil {
				_ = client.Close() // as if nobody listened
				return
			}
			(&link{p: p, client: client, broker: broker, rng: rng}).serve()
		})
	}
}

// dial waits for the broker to come back, for a while.
func (p *proxy) dial() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	return dialUntil(ctx, p.to)
}

// dialUntil tries until it gets through or ctx ends.
func dialUntil(ctx context.Context, address string) (net.Conn, error) {
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			return c, nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// draw is a request's fate.
func (p *proxy) draw(key, version int16, rng *rand.Rand) fate {
	again := repeatable(key, version)
	switch {
	case p.fixed != nil:
		return p.fixed(key)
	case p.calm.Load():
		return pass
	case key == keyProduce && again && p.double.CompareAndSwap(true, false):
		p.timeline.note(twin.String(), kmsg.NameForKey(key))
		return twin
	case rng.IntN(oneIn(key)) > 0:
		return pass
	}
	f := cut + fate(rng.IntN(int(delay)))
	if again {
		f = cut + fate(rng.IntN(int(twin)))
	}
	p.timeline.note(f.String(), kmsg.NameForKey(key))
	return f
}

// later sends a request after a while by a connection of its own, and swallows the
// answer.
func (p *proxy) later(frame []byte, after time.Duration) {
	p.coming.Go(func() {
		if !wait(p.ctx, after) {
			return
		}
		if c, err := p.dial(); err == nil {
			_, _ = exchange(p.ctx, c, frame) // there may be no answer, as when the broker is killed
		}
	})
}

// exchange sends a request and returns what is answered. It closes the connection.
func exchange(ctx context.Context, c net.Conn, frame []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = c.Close() }) // when it is over or late
	if _, err := c.Write(frame); err != nil {
		return nil, err
	}
	return readFrame(c)
}

// readFrame reads a request or an answer, with its size.
func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > 1<<28 {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	frame := make([]byte, 4+n)
	copy(frame, size[:])
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}
