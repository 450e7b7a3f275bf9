package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
)

// line is what a part and the conductor say to each other, as a line of JSON.
type line struct {
	Ask  int64    `json:"ask,omitempty"`  // the number of a step, whose answer has it too
	What string   `json:"what,omitempty"` // the step, or what is told
	Of   []string `json:"of,omitempty"`   // the payments or moves that it is about
	At   int64    `json:"at,omitempty"`   // the offset of the one that came
	Fail bool     `json:"fail,omitempty"` // an answer: what was done is to fail
}

// What parts tell.
const (
	isReady   = "ready"   // of its address, if it has one
	came      = "came"    // a message or a request, once more
	movedTo   = "moved"   // an address was set
	isMarked  = "marked"  // what was published is marked so
	didHandle = "handled" // a message was handled, and is acknowledged next
)

// The steps at which parts ask.
const (
	beforePublish = "publish" // a record is about to be published
	afterPublish  = "publish, mark"
	beforeAnswer  = "commit, answer" // a request was handled
	afterEffect   = "effect"         // a handler had its effect, and has not returned
	beforeAck     = "handle, ack"    // a handler returned
)

// errThrown is what a handler fails with that is made to.
var errThrown = errors.New("thrown by the demo")

// stage is a part's side of the conversation with the conductor.
type stage struct {
	in  *bufio.Scanner
	out *json.Encoder

	mu      sync.Mutex // also of out
	last    int64
	waiting map[int64]chan bool
	over    bool // nothing is answered any more
}

// newStage reads what the part is to be.
func newStage(in io.Reader, out io.Writer) (*stage, config, error) {
	s := &stage{in: bufio.NewScanner(in), out: json.NewEncoder(out), waiting: map[int64]chan bool{}}
	var c config
	if !s.in.Scan() {
		return nil, c, errors.New("the conductor said nothing")
	}
	if err := json.Unmarshal(s.in.Bytes(), &c); err != nil {
		return nil, c, fmt.Errorf("read what to be: %w", err)
	}
	return s, c, nil
}

// listen hears the conductor's answers, until it says no more: then all go on.
func (s *stage) listen() {
	defer s.end()
	for s.in.Scan() {
		var l line
		if json.Unmarshal(s.in.Bytes(), &l) != nil {
			return
		}
		s.mu.Lock()
		answer := s.waiting[l.Ask]
		delete(s.waiting, l.Ask)
		s.mu.Unlock()
		if answer != nil {
			answer <- l.Fail
		}
	}
}

func (s *stage) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for _, answer := range s.waiting {
		close(answer)
	}
	clear(s.waiting)
}

// tell tells the conductor something.
func (s *stage) tell(l line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.out.Encode(l); err != nil {
		slog.Error("the conductor hears nothing", "error", err) // and so the part is over
	}
}

// ask says which step was reached, and waits for what the conductor makes of it: to go on,
// to fail, or nothing any more.
func (s *stage) ask(ctx context.Context, step string, of ...string) error {
	answer := make(chan bool, 1)
	s.mu.Lock()
	s.last++
	n := s.last
	if s.over {
		close(answer)
	} else {
		s.waiting[n] = answer
	}
	s.mu.Unlock()
	s.tell(line{Ask: n, What: step, Of: of})
	select {
	case fail := <-answer:
		if fail {
			return errThrown
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
