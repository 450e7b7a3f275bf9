package redisdb

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

// gather makes calls that come at the same moment together, as one: what many goroutines
// ask then costs the network and the server little more than what one does. Nobody waits
// for those who come later: a call goes as soon as all who are ready to ask have asked.
// What it answers does not depend on whom it goes with.
type gather[Q, A any] struct {
	call func(ctx context.Context, questions []Q) []A
	// left is the answer to who has left before there is one: if it was sent, it may have
	// had its effect.
	left func(sent bool, why error) A

	mu      sync.Mutex
	waiting []*waiter[Q, A] // the first one sends them
}

// waiter waits for an answer.
type waiter[Q, A any] struct {
	ctx      context.Context
	question Q
	answer   A
	done     chan struct{}
}

// ask returns the answer to q. It does not wait for longer than ctx lives.
func (g *gather[Q, A]) ask(ctx context.Context, q Q) A {
	w := &waiter[Q, A]{ctx: ctx, question: q, done: make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, w)
	first := len(g.waiting) == 1
	g.mu.Unlock()
	if first {
		runtime.Gosched() // to those who are ready to ask too,
		runtime.Gosched() // and to those whom these have made ready
		all := g.take()
		if len(all) == 1 {
			return g.call(ctx, []Q{q})[0]
		}
		go g.send(all)
	}
	select {
	case <-w.done:
		return w.answer
	case <-ctx.Done():
		return g.left(!g.leave(w), ctx.Err())
	}
}

// take returns all who wait.
func (g *gather[Q, A]) take() []*waiter[Q, A] {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.waiting
	g.waiting = nil
	return all
}

// leave takes w from those who wait, and reports false if it is sent.
func (g *gather[Q, A]) leave(w *waiter[Q, A]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, w)
	if i > 0 { // who is first sends
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	return i > 0
}

// send asks for all. That one of them leaves does not end the others' call: it ends when
// the last one's time is over, or when the client ends it.
func (g *gather[Q, A]) send(all []*waiter[Q, A]) {
	ctx := context.WithoutCancel(all[0].ctx)
	if last, ok := lastDeadline(all); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, last)
		defer cancel()
	}
	questions := make([]Q, len(all))
	for i, w := range all {
		questions[i] = w.question
	}
	for i, answer := range g.call(ctx, questions) {
		all[i].answer = answer
		close(all[i].done)
	}
}

// lastDeadline is the latest of all; ok is false if one has none.
func lastDeadline[Q, A any](all []*waiter[Q, A]) (last time.Time, ok bool) {
	for _, w := range all {
		d, ok := w.ctx.Deadline()
		if !ok {
			return last, false
		}
		if d.After(last) {
			last = d
		}
	}
	return last, true
}
