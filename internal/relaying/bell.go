package relaying

import (
	"context"
	"sync"
	"time"
)

// Bell tells the relays of an outbox that there are records, at most every [Rest].
type Bell struct {
	ring func(ctx context.Context) error

	mu             sync.Mutex
	ringing, again bool
}

const (
	// Rest is between two rings, which is as often as relays look.
	Rest = 5 * time.Millisecond
	// patience is how long a ring may take. Relays that hear none look all the same.
	patience = 5 * time.Second
)

// NewBell returns a bell that is rung by a function.
func NewBell(ring func(ctx context.Context) error) *Bell { return &Bell{ring: ring} }

// Ring returns at once. It is rung once for all who ask for it meanwhile.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.again = b.ringing; !b.ringing {
		b.ringing = true
		go b.work()
	}
}

// work rings until nobody asks for it any more.
func (b *Bell) work() {
	for more := true; more; {
		ctx, end := context.WithTimeout(context.Background(), patience)
		_ = b.ring(ctx)
		end()
		time.Sleep(Rest)
		b.mu.Lock()
		more, b.again = b.again, false
		b.ringing = more
		b.mu.Unlock()
	}
}
