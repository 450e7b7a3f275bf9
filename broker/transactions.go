package broker

import (
	"sync"

	"github.com/hapaxmq/hapax/broker/txn"
)

// transactions is who may write under which producer id. What is decided is in the
// log before it is known, and an answer waits for the log as it was then: see
// package txn.
type transactions struct {
	b  *Broker
	mu sync.Mutex
	c  *txn.Coordinator
}

// decide carries out one decision and returns what its answer waits for.
func (t *transactions) decide(f func(c *txn.Coordinator, now int64) *txn.Event) (end int64, err error) {
	t.b.log.Begin()
	defer t.b.log.End()
	t.mu.Lock()
	defer t.mu.Unlock()
	event := f(t.c, t.b.clock())
	if event == nil {
		return t.b.wal.End(), nil // of what was decided before, and is answered again
	}
	at, err := t.b.log.Append(frameTransaction, event.Append(nil))
	if err != nil {
		return 0, err
	}
	return at.End, t.c.Apply(event)
}

// count is how many transactional ids there are, and how many have one open.
func (t *transactions) count() (ids, open int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.c.Len()
}

// snapshot gives all events that make the state.
func (t *transactions) snapshot(yield func([]byte) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for event := range t.c.Snapshot() {
		if err := yield(event.Append(nil)); err != nil {
			return err
		}
	}
	return nil
}

func (t *transactions) replay(payload []byte) error {
	event, err := txn.Read(payload)
	if err != nil {
		return err
	}
	return t.c.Apply(event)
}
