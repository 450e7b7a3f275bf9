package inbox

import (
	"sync"
	"time"

	"github.com/hapaxmq/hapax"
)

// key names a message in memory, as [identity.SharedKey] does in stores.
type key [32]byte

// keptReceipt is the most bytes of a receipt that are kept in memory. A message
// with a longer one is asked about in the store.
const keptReceipt = 1 << 10

// committed remembers in memory some of the messages whose marks are committed.
// It knows of nothing that is in progress, and of nothing longer than the store:
// a message that it does not know, or knows with another payload, is asked about
// there. The oldest goes when a new one needs its place.
//
// A nil *committed remembers nothing.
type committed struct {
	mu      sync.Mutex
	entries map[key]remembered
	order   []key // of their coming, around from next
	next    int
}

type remembered struct {
	digest  hapax.Digest
	receipt hapax.Receipt
	until   time.Time
}

func newCommitted(n int) *committed {
	if n == 0 {
		return nil
	}
	return &committed{entries: make(map[key]remembered), order: make([]key, 0, n)}
}

// find returns the first run's receipt, if the message is known to be committed
// with this payload.
func (c *committed) find(k key, d hapax.Digest, now time.Time) (hapax.Receipt, bool) {
	if c == nil {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	if !ok || !now.Before(e.until) || e.digest != d {
		return nil, false
	}
	return e.receipt, true
}

// add remembers a message until its mark may be gone from the store.
func (c *committed) add(k key, e remembered) {
	if c == nil || len(e.receipt) > keptReceipt {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if was, ok := c.entries[k]; ok {
		if e.until.After(was.until) {
			c.entries[k] = e
		}
		return
	}
	if len(c.order) < cap(c.order) {
		c.order = append(c.order, k)
	} else {
		delete(c.entries, c.order[c.next])
		c.order[c.next] = k
		c.next = (c.next + 1) % len(c.order)
	}
	c.entries[k] = e
}

// remove forgets a message.
func (c *committed) remove(k key) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, k)
}
