package txn

import (
	"cmp"
	"slices"
	"strings"
)

// TimedOut returns the ids whose transaction is open for longer than its client
// asked for, the longest overdue first. Each is then decided by itself, under
// the lock of its id.
func (c *Coordinator) TimedOut(now int64) []string {
	var ids []string
	for id, e := range c.open {
		if e.overdue(now) >= 0 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(c.open[b].overdue(now), c.open[a].overdue(now)), strings.Compare(a, b))
	})
	return ids
}

// DecideTimeout aborts the id's transaction if it is open for too long. It
// returns nil if there is nothing to do.
func (c *Coordinator) DecideTimeout(id string, now int64) *Event {
	e := c.open[id]
	if e == nil || e.overdue(now) < 0 {
		return nil
	}
	return c.fence(id, e, ByTimeout, now)
}

// Expired returns the ids that were not used for so long that they may be
// forgotten, sorted. It looks at every id.
func (c *Coordinator) Expired(now int64) []string {
	var ids []string
	for id := range c.ids {
		if c.DecideExpiry(id, now) != nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// DecideExpiry forgets the id if it was not used for long enough, or returns
// nil. Its producer, should it come back, is refused with
// INVALID_PRODUCER_ID_MAPPING: its producer id is never given out again.
func (c *Coordinator) DecideExpiry(id string, now int64) *Event {
	e := c.ids[id]
	if e == nil || e.isOpen() || now-e.updated < c.settings.ExpireMs {
		return nil
	}
	return &Event{Kind: Forgotten, Time: now, ID: id, Producer: e.producer, Previous: NoProducer()}
}

// overdue is how long the transaction of e has outlived its timeout; negative
// while it has time.
func (e *entry) overdue(now int64) int64 { return now - e.started - int64(e.timeoutMs) }
