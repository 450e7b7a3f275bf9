package brokertest

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// link is one client's connection, which goes through a proxy.
type link struct {
	p              *proxy
	client, broker net.Conn
	rng            *rand.Rand

	mu       sync.Mutex // of what goes to the client
	underway []request  // in the order in which they are to be answered
}

type request struct {
	key         int16
	correlation uint32
	fate        fate
	answered    bool // by its twin
}

func (l *link) serve() {
	ended := make(chan struct{}, 2)
	go func() { l.requests(); ended <- struct{}{} }()
	go func() { l.answers(); ended <- struct{}{} }()
	select {
	case <-ended:
		l.close()
	case <-l.p.ctx.Done():
		l.close()
		<-ended
	}
	<-ended
}

func (l *link) close() {
	_ = l.client.Close() // that is the fault
	_ = l.broker.Close()
}

// requests passes on what the client sends.
func (l *link) requests() {
	for {
		frame, err := readFrame(l.client)
		if err != nil || len(frame) < 12 {
			return
		}
		r := request{key: int16(binary.BigEndian.Uint16(frame[4:])), correlation: binary.BigEndian.Uint32(frame[8:])}
		r.fate = l.p.draw(r.key, int16(binary.BigEndian.Uint16(frame[6:])), l.rng)
		switch r.fate {
		case cut:
			return
		case cutWithin:
			_, _ = l.broker.Write(frame[:1+l.rng.IntN(len(frame)-1)]) // it ends anyway
			return
		case late:
			l.p.later(frame, l.while())
			return
		case replay:
			l.p.later(frame, l.while())
		case delay:
			if !wait(l.p.ctx, l.while()/8) {
				return
			}
		}
		l.mu.Lock()
		l.underway = append(l.underway, r)
		l.mu.Unlock()
		if r.fate == twin {
			l.p.coming.Go(func() { l.twin(r, frame) })
		}
		if _, err := l.broker.Write(frame); err != nil {
			return
		}
	}
}

// while is mostly short, and up to four seconds.
func (l *link) while() time.Duration {
	return time.Duration(l.rng.Int64N(int64(time.Millisecond) << l.rng.IntN(13)))
}

// answers passes on what the broker answers.
func (l *link) answers() {
	for {
		frame, err := readFrame(l.broker)
		if err != nil || len(frame) < 8 || !l.answer(frame) {
			return
		}
	}
}

// answer is false if the connection is to end.
func (l *link) answer(frame []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.underway) == 0 || l.underway[0].correlation != binary.BigEndian.Uint32(frame[4:]) {
		return false // an answer to nothing: the client would say so too
	}
	r := l.underway[0]
	l.underway = slices.Delete(l.underway, 0, 1)
	switch {
	case r.answered:
		return true
	case r.fate == swallow:
		return false
	case r.fate == cutAnswer:
		frame = frame[:1+l.rng.IntN(len(frame)-1)]
	}
	_, err := l.client.Write(frame)
	l.told(r)
	return err == nil && r.fate != cutAnswer
}

// twin sends a request by another connection, and its answer to the client if that is
// due and has not come.
func (l *link) twin(r request, frame []byte) {
	c, err := net.Dial("tcp", l.p.to)
	if err != nil {
		return
	}
	answer, err := exchange(l.p.ctx, c, frame)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.underway) > 0 && l.underway[0].correlation == r.correlation && !l.underway[0].answered {
		l.underway[0].answered = true
		_, _ = l.client.Write(answer) // its reader will see what is wrong
		l.told(r)
	}
}

// told tells who waits for it that the client was answered.
func (l *link) told(r request) {
	l.p.passed(r.key)
	if r.fate == twin && r.key == keyProduce {
		l.p.passed(keyTwin)
	}
}
