package deliverytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// Source is a queue or a stream of one test's own on a real broker, whose messages
// have their ids in a header.
type Source interface {
	Header() string
	// From is what a process is told that consumes from it, and dies: see [Main].
	From() string
	// Publish publishes a message of each id, and returns when the broker has them.
	Publish(ids ...string)
	// Consume runs a consumer until ctx ends, with several handlers, and in such a way
	// that what a process has left comes soon.
	Consume(ctx context.Context, in *Watch) error
	// Settled demands that the broker waits for nothing, and has no message left.
	Settled()
	// Dead is the ids of the dead letters, of which there are n, or will be soon.
	Dead(n int) []string
}

// Once publishes n messages, and says what becomes of them if each has its effect once.
func Once(s Source, n int) map[string]int {
	once := make(map[string]int)
	for i := range n {
		id := fmt.Sprintf("m%d", i)
		s.Publish(id)
		once[id] = 1
	}
	return once
}

// patience is how long a test waits for what must come.
const patience = 3 * time.Minute

// TakeAll runs a consumer until all that w wants is settled.
func TakeAll(tb testing.TB, s Source, w *Watch) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	w.Done = cancel
	if err := s.Consume(ctx, w); err != nil {
		tb.Fatal(err)
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		tb.Fatalf("%d messages are to be settled, and after %v there were outcomes %v", w.Want, patience, w.Outcomes)
	}
}

// Watch is a look at an inbox of such a guarantee over the book.
func (b *Book) Watch(tb testing.TB, g inbox.Guarantee, effected Effected) *Watch {
	tb.Helper()
	in, err := b.Inbox(tb.Context(), g, effected)
	if err != nil {
		tb.Fatal(err)
	}
	return &Watch{Book: b, Inbox: in}
}

// Transacted is a look at an inbox over a book of the test's own.
func Transacted(tb testing.TB, s Source, effected Effected) *Watch {
	tb.Helper()
	return New(tb, s.Header()).Watch(tb, inbox.Transacted, effected)
}

// HandlerDiesBeforeAck kills a process that consumes, and takes up what it left. An
// effect is doubled only where a lease says that it may be: between effect and commit.
func HandlerDiesBeforeAck(t *testing.T, declare func(*testing.T) Source) {
	for _, c := range []struct {
		guarantee inbox.Guarantee
		point     Point
		first     int // effects of the message at which it died
	}{
		{inbox.Transacted, AtEffect, 1},
		{inbox.Transacted, AtAck, 1},
		{inbox.Leased, AtEffect, 2},
		{inbox.Leased, AtAck, 1},
	} {
		t.Run(fmt.Sprintf("%v %s", c.guarantee, c.point), func(t *testing.T) {
			t.Parallel()
			s := declare(t)
			b := New(t, s.Header())
			want := Once(s, 5)
			b.Die(t, Death{From: s.From(), Point: c.point, Guarantee: c.guarantee})
			w := b.Watch(t, c.guarantee, nil)
			w.Want = len(want)
			TakeAll(t, s, w)
			want[b.First(t)] = c.first
			b.Audit(t, want)
			s.Settled()
		})
	}
}

// NeverAcked takes up what a loop has handled, and never acknowledged.
func NeverAcked(t *testing.T, s Source, w *Watch, once map[string]int) {
	t.Helper()
	w.Book.Audit(t, once)
	again := w.Book.Watch(t, inbox.Transacted, nil)
	again.Want = len(once)
	TakeAll(t, s, again)
	if again.Outcomes[hapax.Replayed] < len(once) {
		t.Errorf("outcomes %v, want %d copies", again.Outcomes, len(once))
	}
	w.Book.Audit(t, once)
	s.Settled()
}

// Fails demands that what fails comes again, and what fails for good goes to the dead
// letters.
func Fails(t *testing.T, s Source) {
	var mu sync.Mutex
	runs := make(map[string]int)
	w := Transacted(t, s, func(id string) error {
		mu.Lock()
		defer mu.Unlock()
		runs[id]++
		switch {
		case id == "m0":
			return inbox.Permanent(errors.New("the reason is\nthis"))
		case runs[id] == 1:
			return errors.New("not yet")
		}
		return nil
	})
	want := Once(s, 4)
	w.Want = len(want)
	TakeAll(t, s, w)
	delete(want, "m0")
	w.Book.Audit(t, want)
	s.Settled()
	if dead := s.Dead(1); !slices.Equal(dead, []string{"m0"}) {
		t.Errorf("dead letters %v, want m0", dead)
	}
}

// HeldIsNoDelivery demands that a message which comes again by choice is no delivery to
// a source that ends messages by their number, at one. It is statement 12.
func HeldIsNoDelivery(t *testing.T, s Source) {
	runs := 0
	w := Transacted(t, s, func(string) error {
		if runs++; runs < 4 {
			return inbox.Later(0, nil)
		}
		return nil
	})
	once := Once(s, 1)
	w.Want = 1
	TakeAll(t, s, w)
	w.Book.Audit(t, once)
	s.Settled()
	if dead := s.Dead(0); len(dead) > 0 {
		t.Errorf("dead letters %v, want none", dead)
	}
}
