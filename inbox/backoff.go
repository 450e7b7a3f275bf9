package inbox

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hapaxmq/hapax"
)

// Backoff is how long a message waits after a failed attempt, before it comes again: so
// long after the first, twice as long after each, and never longer than the most. Of that
// up to a half is left out by chance, so that messages which failed together do not come
// together again. The zero value is 100 ms, and a minute at most.
//
// Attempts are counted by the inbox that made them, in memory, for up to 16,384 messages;
// then the count of all begins anew. Those without an identity always wait as after a first
// one.
type Backoff struct {
	First, Most time.Duration
}

const (
	firstBackoff = 100 * time.Millisecond
	mostBackoff  = time.Minute
	maxFailing   = 1 << 14
)

func (b *Backoff) validate() error {
	if b.First == 0 {
		b.First = firstBackoff
	}
	if b.Most == 0 {
		b.Most = max(mostBackoff, b.First)
	}
	if b.First < 0 || b.Most < b.First {
		return fmt.Errorf("backoff %v, at most %v: want the first above zero, and the most not below it", b.First, b.Most)
	}
	return nil
}

// after is how long to wait after the nth failed attempt.
func (b Backoff) after(n int) time.Duration {
	d := b.First
	for ; n > 1 && d < b.Most; n-- {
		d *= 2
	}
	d = min(d, b.Most)
	return d - rand.N(d/2+1)
}

// failedError is the error of a failed attempt, and says when to come again.
type failedError struct {
	error

	after time.Duration
}

func (e *failedError) Unwrap() error { return e.error }

// failing counts the failed attempts of messages that have not come to an end.
type failing struct {
	mu       sync.Mutex
	attempts map[key]int
}

// again counts a failed attempt of d, and returns how many there were.
func (f *failing) again(d *delivery) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.unmarked() {
		return 1
	}
	if f.attempts == nil || len(f.attempts) >= maxFailing {
		f.attempts = make(map[key]int)
	}
	f.attempts[d.key]++
	return f.attempts[d.key]
}

// end forgets a message that came to an end.
func (f *failing) end(d *delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.attempts, d.key)
}

// failed is the error of a failed attempt of d, with the time to wait, unless the handler
// has said what is to be.
func (in *Inbox) failed(d *delivery, r hapax.Result, err error) error {
	if s := Settle(r, err); s.Action != Retry || !s.Failed {
		return err
	}
	return &failedError{error: err, after: in.o.Backoff.after(in.failing.again(d))}
}
