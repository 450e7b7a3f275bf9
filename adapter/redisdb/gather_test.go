package redisdb

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var errSent, errUnsent = errors.New("left when it was sent"), errors.New("left before it was sent")

type reply struct {
	of  int
	err error
}

// squares answers by the square of each number.
func squares(_ context.Context, numbers []int) []reply {
	all := make([]reply, len(numbers))
	for i, n := range numbers {
		all[i].of = n * n
	}
	return all
}

func leaving(sent bool, _ error) reply {
	if sent {
		return reply{err: errSent}
	}
	return reply{err: errUnsent}
}

func TestGatherGivesEachItsOwnAnswer(t *testing.T) {
	var calls atomic.Int64
	g := gather[int, reply]{left: leaving, call: func(ctx context.Context, numbers []int) []reply {
		calls.Add(1)
		return squares(ctx, numbers)
	}}
	var all sync.WaitGroup
	for w := range 64 {
		all.Go(func() {
			for i := range 200 {
				n := w*1000 + i
				if got := g.ask(t.Context(), n); got.of != n*n || got.err != nil {
					t.Errorf("%d is answered by %+v", n, got)
				}
			}
		})
	}
	all.Wait()
	if n := calls.Load(); n == 0 || n > 64*200 {
		t.Errorf("%d calls", n)
	}
}

// Who leaves is told whether the question was sent, and ends nobody else's.
func TestGatherLetsLeave(t *testing.T) {
	called, answer := make(chan context.Context), make(chan struct{})
	g := gather[int, reply]{left: leaving, call: func(ctx context.Context, numbers []int) []reply {
		called <- ctx
		<-answer
		return squares(ctx, numbers)
	}}
	ctx, leave := context.WithCancel(t.Context())
	all := []*waiter[int, reply]{
		{ctx: ctx, question: 2, done: make(chan struct{})}, {ctx: t.Context(), question: 3, done: make(chan struct{})},
	}
	go g.send(all)
	together := <-called
	leave()
	if together.Err() != nil {
		t.Error("one that left ended the call of all")
	}
	if g.leave(all[0]) {
		t.Error("it was sent, and is told that it was not")
	}
	close(answer)
	<-all[1].done
	if got := all[1].answer.of; got != 9 {
		t.Errorf("3 is answered by %d", got)
	}

	g.waiting = all // as if they were not
	if g.leave(all[0]) || !g.leave(all[1]) || len(g.waiting) != 1 {
		t.Error("the first one sends, and stays; the others may leave")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if got := g.ask(gone, 4); !errors.Is(got.err, errUnsent) {
		t.Errorf("one that left at once is told %v", got.err)
	}
}

// A call of several lives as long as the last of them.
func TestGatherDeadlines(t *testing.T) {
	at := time.Now().Add(time.Hour)
	soon, cancel := context.WithDeadline(t.Context(), at)
	defer cancel()
	later, cancel := context.WithDeadline(t.Context(), at.Add(time.Hour))
	defer cancel()
	with := func(contexts ...context.Context) (all []*waiter[int, reply]) {
		for _, ctx := range contexts {
			all = append(all, &waiter[int, reply]{ctx: ctx})
		}
		return all
	}
	if last, ok := lastDeadline(with(soon, later, soon)); !ok || !last.Equal(at.Add(time.Hour)) {
		t.Errorf("%v, %t", last, ok)
	}
	if last, ok := lastDeadline(with(soon, t.Context())); ok {
		t.Errorf("one without a deadline, and yet %v", last)
	}
}
