package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const mib = 1 << 20

// sending is a client's end of a connection whose requests are read at the other.
type sending struct {
	*testing.T
	net.Conn
	in   *intake
	read chan error // of each request
	let  chan bool  // lets the request go that was read
	out  chan []byte
}

// connect connects a client to a node with some memory, where a request has up to 100
// MiB. One that was read is held until it is let go.
func connect(t *testing.T, m *memory) *sending {
	client, server := net.Pipe()
	p := &patience{net: server, idle: time.Hour, read: time.Now()}
	p.goOn()
	in := newIntake(server, m, p)
	s := &sending{t, client, in, make(chan error), make(chan bool), make(chan []byte, 8)}
	go func() {
		for b := range s.out {
			_, _ = client.Write(b) // it may be cut off
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		defer server.Close()
		defer in.done()
		for {
			_, err := in.request(ctx, 100*mib)
			select {
			case s.read <- err:
			case <-ctx.Done():
				return
			}
			if err != nil || !<-s.let {
				return
			}
			in.done()
		}
	}()
	t.Cleanup(func() { _ = client.Close(); close(s.let); close(s.out) })
	return s
}

// begin sends a Produce of a size, but only so much of it. It goes on in the
// background where the node does not read.
func (s *sending) begin(size, sent int) {
	b := make([]byte, 4+sent)
	binary.BigEndian.PutUint32(b, uint32(size))
	s.out <- b
}

// more goes on.
func (s *sending) more(sent int) { s.out <- make([]byte, sent) }

// wantRead demands that a request was read, or why it was not.
func (s *sending) wantRead(want error) {
	s.Helper()
	synctest.Wait()
	select {
	case err := <-s.read:
		if !errors.Is(err, want) {
			s.Fatalf("a request was read: %v, want %v", err, want)
		}
	default:
		s.Fatalf("no request was read, want %v", want)
	}
}

func (s *sending) wantNothing() {
	s.Helper()
	synctest.Wait()
	select {
	case err := <-s.read:
		s.Errorf("a request was read: %v", err)
	default:
	}
}

// pass lets time pass, in synctest's.
func pass(d time.Duration) { <-time.After(d) }

func (m *memory) inUse() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

func wantUsed(t *testing.T, m *memory, want int64, line int) {
	t.Helper()
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used != want || len(m.line) != line {
		t.Errorf("%d bytes are used, and %d requests wait: want %d and %d", m.used, len(m.line), want, line)
	}
}

// Memory is taken as bytes come, and given back when a request is done.
func TestMemoryGrowsWithWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(512*mib, 100*mib)
		a := connect(t, m)
		a.begin(90*mib, ownBytes-1)
		wantUsed(t, m, 0, 0)
		a.more(1)
		wantUsed(t, m, mib, 0)
		a.more(mib)
		wantUsed(t, m, 2*mib, 0)
		a.more(43 * mib)
		wantUsed(t, m, 64*mib, 0)
		a.more(46*mib - ownBytes)
		wantUsed(t, m, 90*mib, 0)
		a.wantRead(nil)
		a.let <- true
		wantUsed(t, m, 0, 0)
		a.begin(ownBytes, ownBytes)
		a.wantRead(nil)
		wantUsed(t, m, 0, 0)
	})
}

// Of requests that all have a part and want more, one at a time goes on; short ones
// need none of it.
func TestMemoryHasNoDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(15*mib, 10*mib)
		var all []*sending
		for range 5 {
			s := connect(t, m)
			s.begin(9*mib, 3*mib)
			synctest.Wait()
			all = append(all, s)
		}
		wantUsed(t, m, 4*mib+4*mib+1*mib, 3) // the second has the turn
		for _, s := range all {
			s.more(6 * mib)
		}
		short := connect(t, m)
		short.begin(ownBytes, ownBytes)
		short.wantRead(nil)
		var reading sync.WaitGroup
		for _, s := range all {
			reading.Go(func() {
				select {
				case err := <-s.read:
					if used := m.inUse(); err != nil || used > m.most {
						t.Errorf("%v, and %d bytes are used of %d", err, used, m.most)
					}
					s.let <- true
				case <-time.After(time.Hour):
					t.Error("it waits for good")
				}
			})
		}
		reading.Wait()
		wantUsed(t, m, 0, 0)
	})
}

// Who has stopped sending is cut off while another waits, and not before.
func TestMemoryIsTakenFromTheIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(10*mib, 10*mib) // all of it is for who has the turn
		a, b := connect(t, m), connect(t, m)
		a.begin(8*mib, 7*mib)
		wantUsed(t, m, 8*mib, 0)
		pass(time.Minute)
		b.begin(2*mib, 2*mib)
		b.wantNothing()
		pass(lookEvery)
		a.wantRead(errSlow)
		b.wantRead(nil)
		wantUsed(t, m, 2*mib, 0)
		if m.waits != 2 || m.cuts != 1 {
			t.Errorf("%d waits, %d were cut off", m.waits, m.cuts)
		}
	})
}

// Of several who are too slow, so many are cut off as those in line want the memory of,
// the largest first, however many are in line.
func TestMemoryIsTakenAsItIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(24*mib, 10*mib)
		var slow []*sending
		for _, sent := range []int{7 * mib, 3 * mib, mib} { // they take 8, 4 and 2 MiB, and no turn
			s := connect(t, m)
			s.begin(10*mib, sent)
			slow = append(slow, s)
			synctest.Wait()
		}
		wantUsed(t, m, 14*mib, 0)
		turn := connect(t, m)
		turn.begin(10*mib, 10*mib)
		turn.wantRead(nil)
		pass(time.Minute)
		var line []*sending
		for range 3 {
			s := connect(t, m)
			s.begin(mib, mib)
			line = append(line, s)
		}
		wantUsed(t, m, 24*mib, 3)
		pass(3 * lookEvery)
		if m.cuts != 1 {
			t.Errorf("%d were cut off, want one", m.cuts)
		}
		slow[0].wantRead(errSlow)
		for _, s := range slow[1:] {
			s.wantNothing()
		}
		for _, s := range line {
			s.wantRead(nil)
		}
	})
}

// So is who never stops, but is too slow.
func TestMemoryIsTakenFromTheSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(10*mib, 10*mib)
		a, b := connect(t, m), connect(t, m)
		a.begin(8*mib, 7*mib)
		synctest.Wait()
		b.begin(2*mib, 2*mib)
		for began := time.Now(); time.Since(began) < slowStart; pass(slowPause / 2) {
			a.wantNothing()
			a.more(1)
		}
		pass(time.Second + lookEvery)
		a.wantRead(errSlow)
		b.wantRead(nil)
	})
}

// The time in line is not the client's, and its deadline is moved.
func TestMemoryGivesTimeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(100*mib, 100*mib)
		a, b, c := connect(t, m), connect(t, m), connect(t, m)
		a.begin(2*mib, 2*mib)
		a.wantRead(nil)
		b.begin(2*mib, 2*mib-1)
		synctest.Wait()
		c.begin(2*mib, 2*mib)
		pass(2 * time.Hour) // it takes as long to handle the first
		wantUsed(t, m, 2*mib, 2)
		a.let <- true
		wantUsed(t, m, 2*mib, 1)
		pass(slowPause)
		b.wantNothing()
		b.more(1)
		b.wantRead(nil)
		b.let <- true
		c.wantRead(nil)
	})
}

// Who goes while it waits takes nothing with it.
func TestMemoryIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(100*mib, 100*mib)
		a := m.begin(mib, func() {})
		if waited, err := m.take(t.Context(), a, mib); !waited || err != nil {
			t.Error(waited, err) // its turn came at once
		}
		b := m.begin(mib, func() {})
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() {
			_, err := m.take(ctx, b, mib)
			gone <- err
		}()
		wantUsed(t, m, mib, 1)
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		m.release(b)
		wantUsed(t, m, mib, 0)
		m.release(a)
		wantUsed(t, m, 0, 0)
		if len(m.holders) > 0 || m.turn != nil {
			t.Errorf("%d requests, turn %p", len(m.holders), m.turn)
		}
	})
}

// Whatever many clients send, at whatever speed, there is never more in memory than
// may be, and what comes in time is read as it was sent.
func TestMemoryOfMany(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			m := newMemory(int64(4+r.IntN(4))*mib, 4*mib)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var all sync.WaitGroup
			for i := range 8 {
				client, server := net.Pipe()
				pace := time.Duration(r.IntN(100)) * time.Millisecond
				sizes := []int{8 + r.IntN(4*mib-8), 8 + r.IntN(2*ownBytes), 8 + r.IntN(4*mib-8)}
				all.Go(func() { send(client, byte(i), pace, sizes) })
				all.Go(func() {
					defer server.Close()
					in := newIntake(server, m, &patience{net: server, idle: time.Hour, read: time.Now()})
					defer in.done()
					for _, size := range sizes {
						if err := in.wantNext(ctx, size, byte(i)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			wantUsed(t, m, 0, 0)
		})
	}
}

// send sends Produces of some sizes, of one byte each, with a pause behind each
// 256 KiB.
func send(to io.WriteCloser, fill byte, pause time.Duration, sizes []int) {
	defer to.Close()
	for _, size := range sizes {
		b := binary.BigEndian.AppendUint32(nil, uint32(size))
		b = append(b, 0, keyProduce)
		b = append(b, bytes.Repeat([]byte{fill}, size-2)...)
		for len(b) > 0 {
			n, err := to.Write(b[:min(len(b), 256<<10)])
			if err != nil {
				return
			}
			b = b[n:]
			pass(pause)
		}
	}
}

// wantNext reads a request, and demands that it is as it was sent.
func (in *intake) wantNext(ctx context.Context, size int, fill byte) error {
	b, err := in.request(ctx, 4*mib)
	if err != nil {
		return err
	}
	used, most := in.memory.inUse(), in.memory.most
	if len(b) != size || bytes.Count(b[2:], []byte{fill}) != size-2 || used > most {
		return fmt.Errorf("%d bytes of %d, and %d are used of %d", len(b), size, used, most)
	}
	pass(10 * time.Millisecond)
	in.done()
	return nil
}

// Requests that were begun and not ended hold no more than is allowed, and hold
// nobody up.
func TestHalfSentRequests(t *testing.T) {
	n := startWith(t, func(o *Options) {
		o.Settings["socket.request.max.bytes"], o.Settings[queuedBytes] = "4194304", "8388608"
	})
	ctx := testContext(t)
	n.topic(ctx, "orders", 1)
	for range 10 {
		w := n.wire()
		b := make([]byte, 4+3*mib)
		binary.BigEndian.PutUint32(b, 4*mib)
		go func() { _, _ = w.Write(b) }() // it is held up
	}
	m := n.broker.memory
	for waiting := 0; waiting < 3; { // of ten, four have 2 MiB, or 4 in their turn
		if ctx.Err() != nil {
			t.Fatal("nobody waits for memory")
		}
		m.mu.Lock()
		waiting = len(m.line)
		if m.used > m.most {
			t.Fatalf("%d bytes are used of %d", m.used, m.most)
		}
		m.mu.Unlock()
	}
	w := n.writer("till", true, minute)
	w.write("orders", 0, "one")
	if got := n.get("/metrics"); !strings.Contains(got, "hapax_request_memory_limit_bytes 8388608\n") {
		t.Error(got)
	}
}
