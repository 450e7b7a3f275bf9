package demo

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// patience is how long the next thing may take to happen. Nothing that goes well waits for
// it, on however slow a machine.
const patience = 3 * time.Minute

// event is something that a part of a column says of a payment or a move.
type event struct {
	column, part, what, of string
}

// tally counts events, and keeps the offsets of messages and the order of moves.
type tally struct {
	mu      sync.Mutex
	counts  map[event]int
	offsets map[event]int64 // where a message first came
	moved   map[string][]string
	came    map[string]int // messages that came to a column's parts
	failed  error
	changed chan struct{} // closed with the next change

	patience time.Duration
}

func newTally() *tally {
	return &tally{
		counts: map[event]int{}, offsets: map[event]int64{}, moved: map[string][]string{}, came: map[string]int{},
		changed: make(chan struct{}), patience: patience,
	}
}

// add counts what a part says.
func (t *tally) add(c config, l line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range l.Of {
		e := event{c.Column, c.Part, l.What, id}
		t.counts[e]++
		switch {
		case l.What == movedTo:
			t.moved[c.Column] = append(t.moved[c.Column], id)
		case l.What == came && c.Part != partGateway:
			t.came[c.Column]++
			if _, known := t.offsets[e]; !known {
				t.offsets[e] = l.At
			}
		}
	}
	t.change()
}

func (t *tally) change() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// fail ends all waiting.
func (t *tally) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed == nil {
		t.failed = err
	}
	t.change()
}

// failure is what ended all waiting, if anything did.
func (t *tally) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// await returns when an event has happened so often.
func (t *tally) await(ctx context.Context, e event, times int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, t.patience, fmt.Errorf("%s: not %d times %q of %s in %v", e.part, times, e.what, e.of, t.patience))
	defer cancel()
	for {
		t.mu.Lock()
		n, failed, changed := t.counts[e], t.failed, t.changed
		t.mu.Unlock()
		switch {
		case failed != nil:
			return failed
		case n >= times:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// first is the offset at which the first of some messages came to a part.
func (t *tally) first(column, part string, ids []string) (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := int64(-1)
	for _, id := range ids {
		at, ok := t.offsets[event{column, part, came, id}]
		if !ok {
			return 0, fmt.Errorf("%s never came to %s", id, part)
		}
		if first < 0 || at < first {
			first = at
		}
	}
	return first, nil
}

// seen are the moves that addresses were set to in a column, in their order, and how many
// messages came to its consumers.
func (t *tally) seen(column string) (moves []string, delivered int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.moved[column]), t.came[column]
}
