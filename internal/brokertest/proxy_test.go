package brokertest

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// echo is a broker that answers a request with its correlation id, and tells of it.
func echo(t *testing.T) (address string, got <-chan uint32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	requests := make(chan uint32, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for {
					frame, err := readFrame(c)
					if err != nil {
						return
					}
					requests <- binary.BigEndian.Uint32(frame[8:])
					if _, err := c.Write(answerTo(frame)); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String(), requests
}

func answerTo(frame []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, 8), append(frame[8:12:12], "done"...)...)
}

func requestOf(key int16, correlation uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, 12)
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, 12)
	return append(binary.BigEndian.AppendUint32(b, correlation), "rest"...)
}

// Each fate does what it says: what the broker gets, and whether the client is answered.
func TestFates(t *testing.T) {
	t.Parallel()
	for f, want := range map[fate]struct {
		reaches  int
		answered bool
	}{
		pass: {1, true}, cut: {0, false}, cutWithin: {0, false}, cutAnswer: {1, false}, swallow: {1, false},
		delay: {1, true}, late: {1, false}, replay: {2, true}, twin: {2, true},
	} {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			address, got := echo(t)
			p, err := newProxy(newTimeline(), address, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer p.close()
			var met atomic.Bool
			p.fixed = func(int16) fate {
				if met.Swap(true) {
					return pass
				}
				return f
			}
			c, err := net.Dial("tcp", p.address())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write(requestOf(keyProduce, 7)); err != nil {
				t.Fatal(err)
			}
			answer, err := readFrame(c)
			if answered := err == nil && string(answer[8:]) == "done"; answered != want.answered {
				t.Errorf("answered: %t (%q, %v), want %t", answered, answer, err, want.answered)
			}
			for range want.reaches {
				if n := <-got; n != 7 {
					t.Errorf("the broker got request %d", n)
				}
			}
			p.quiet()
			if len(got) > 0 {
				t.Error("the broker got it once more")
			}
			if want.answered { // once only, and what is behind it passes
				if _, err := c.Write(requestOf(keyProduce, 8)); err != nil {
					t.Fatal(err)
				}
				if answer, err := readFrame(c); err != nil || binary.BigEndian.Uint32(answer[4:]) != 8 {
					t.Errorf("the next answer: %q, %v", answer, err)
				}
			}
		})
	}
}

// What would harm clients from before KIP-890 is not drawn for them.
func TestOldRequestsDoNotComeLate(t *testing.T) {
	p := &proxy{timeline: newTimeline()}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		for key, version := range map[int16]int16{keyProduce: 11, keyEndTxn: 4, keyTxnOffsetCommit: 4, keyInitProducerID: 5, 3: 13} {
			if f := p.draw(key, version, rng); f == late || f == replay || f == twin {
				t.Fatalf("key %d, version %d: %v", key, version, f)
			}
		}
	}
}

func TestReadFrame(t *testing.T) {
	in, out := net.Pipe()
	go func() {
		_, _ = out.Write([]byte{0x7f, 0, 0, 0}) // it need not be read
		_ = out.Close()
	}()
	if _, err := readFrame(in); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a frame of 2 GB: %v", err)
	}
}
