package window

import (
	"container/heap"
	"errors"

	"github.com/hapaxmq/hapax"
)

// Claims are the reservations that are live: few, and short-lived. It is pure:
// now, in Unix nanoseconds, comes in with each call.
type Claims struct {
	most     int
	held     map[hapax.Fingerprint]Held
	deadline deadlines
	token    uint64 // given out last
}

// Held is one reservation.
type Held struct {
	Token    uint64
	Deadline int64 // Unix nanoseconds; at it, the lease is over
	Digest   hapax.Digest
}

// ErrTooMany says that as many claims are live as were allowed.
var ErrTooMany = errors.New("window: as many claims are live as may be")

// NewClaims returns an empty set for up to most claims. Tokens go on after last.
func NewClaims(most int, last uint64) *Claims {
	return &Claims{most: most, held: make(map[hapax.Fingerprint]Held), token: last}
}

// Len is the number of claims held, some of which may have run out.
func (c *Claims) Len() int { return len(c.held) }

// Token is the token given out last.
func (c *Claims) Token() uint64 { return c.token }

// SkipTo makes the tokens go on after last, if they have not passed it.
func (c *Claims) SkipTo(last uint64) { c.token = max(c.token, last) }

// Get returns the live claim on f, if there is one.
func (c *Claims) Get(f hapax.Fingerprint, now int64) (Held, bool) {
	h, ok := c.held[f]
	return h, ok && now < h.Deadline
}

// Take reserves f, which no live claim may hold, until deadline.
func (c *Claims) Take(f hapax.Fingerprint, d hapax.Digest, deadline int64) (Held, error) {
	if len(c.held) >= c.most {
		return Held{}, ErrTooMany
	}
	c.token++
	h := Held{Token: c.token, Deadline: deadline, Digest: d}
	c.Put(f, h)
	return h, nil
}

// Put sets a claim as it is: a lease extended, or one read from a log.
func (c *Claims) Put(f hapax.Fingerprint, h Held) {
	c.token = max(c.token, h.Token)
	c.held[f] = h
	heap.Push(&c.deadline, due{h.Deadline, f})
	if len(c.deadline) > 2*len(c.held)+64 {
		c.rebuild()
	}
}

// Drop ends the claim on f.
func (c *Claims) Drop(f hapax.Fingerprint) { delete(c.held, f) }

// Expire drops the claims whose lease is over and calls dropped for each.
func (c *Claims) Expire(now int64, dropped func(hapax.Fingerprint)) {
	for len(c.deadline) > 0 && c.deadline[0].at <= now {
		d := heap.Pop(&c.deadline).(due)
		if h, ok := c.held[d.key]; ok && h.Deadline <= now {
			delete(c.held, d.key)
			dropped(d.key)
		}
	}
}

// All calls yield for each claim held, in no order, until it returns false.
func (c *Claims) All(yield func(hapax.Fingerprint, Held) bool) {
	for f, h := range c.held {
		if !yield(f, h) {
			return
		}
	}
}

// rebuild throws out what extended and ended leases left behind.
func (c *Claims) rebuild() {
	c.deadline = c.deadline[:0]
	for f, h := range c.held {
		c.deadline = append(c.deadline, due{h.Deadline, f})
	}
	heap.Init(&c.deadline)
}

type due struct {
	at  int64
	key hapax.Fingerprint
}

// deadlines is a heap: soonest first. Leases extended since leave theirs behind.
type deadlines []due

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at < d[j].at }
func (d deadlines) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *deadlines) Push(x any)        { *d = append(*d, x.(due)) }
func (d *deadlines) Pop() any {
	old := *d
	last := old[len(old)-1]
	*d = old[:len(old)-1]
	return last
}
