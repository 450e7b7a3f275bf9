package ledger

import (
	"sync"
	"sync/atomic"

	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

// coldAhead is what the cold files say of a batch's identities, asked before the
// batch is admitted: the filters in one tight loop, so that their cache misses
// overlap, and the pages beside one another and without the ledger's mu, so that
// nobody waits for a disk. It is a cache: find uses what is in it and asks the
// files for the rest.
type coldAhead struct {
	asked []coldAsked // in the order of the entries
	next  int         // where the search in asked goes on
	hits  []coldHit
	epoch uint64 // of the cold files when they were asked
}

// coldAsked is one identity, and the hits on it, newest file first.
type coldAsked struct {
	key      window.Key
	from, to int32
}

// coldHit is a file whose filter lets a key pass, and what its page says.
type coldHit struct {
	file *cold.File
	at   cold.Place
	key  window.Key

	entry cold.Entry
	found bool
	err   error
}

const (
	// readersAtOnce is how many pages of one batch are read at the same time.
	readersAtOnce = 16
	// searchAhead bounds the search for a key: more copies than that within a
	// batch are asked for again.
	searchAhead = 64
)

// askCold asks the cold files about entries that are not in the table. It must
// hold mu, which it lets go of while it reads.
func (a *admission) askCold(entries []Entry) error {
	l, c := a.l, &a.l.cold
	if c.none() {
		return nil
	}
	q := c.spare
	c.spare = coldAhead{}
	q.asked, q.hits, q.next, q.epoch = q.asked[:0], q.hits[:0], 0, c.epoch
	for len(entries) > 0 {
		n := min(len(entries), ahead)
		q.add(&l.hot, entries[:n])
		entries = entries[n:]
	}
	for i := range q.asked {
		k := &q.asked[i]
		k.from = int32(len(q.hits))
		q.hits = c.locate(k.key, q.hits)
		k.to = int32(len(q.hits))
	}
	if len(q.hits) > 0 {
		c.readers++
		l.mu.Unlock()
		readHits(q.hits)
		l.mu.Lock()
		c.endRead()
	}
	c.spare, c.ahead = c.ahead, q
	return l.ready()
}

// add takes in those of up to ahead entries that are not live in the table. It must
// hold mu: nobody else changes the table of a ledger with a directory.
func (a *coldAhead) add(h *hot, entries []Entry) {
	var keys [ahead]window.Key
	var spots [ahead]window.Spot
	for i := range entries {
		keys[i] = window.KeyOf(entries[i].Fingerprint)
		spots[i] = h.table.Spot(keys[i])
	}
	h.table.Load(keys[:len(entries)], spots[:len(entries)], &h.stripes[0].live)
	for _, k := range keys[:len(entries)] {
		if _, was := h.table.Find(k); !h.stripes.of(k).live[was] {
			a.asked = append(a.asked, coldAsked{key: k})
		}
	}
}

// locate appends the files that may hold a key, newest first.
func (c *coldFiles) locate(k window.Key, hits []coldHit) []coldHit {
	for i := len(c.files) - 1; i >= 0; i-- {
		f := c.heir.of(c.files[i], k)
		if f == nil {
			continue
		}
		if at, ok := f.Locate(k); ok {
			hits = append(hits, coldHit{file: f, at: at, key: k})
		}
	}
	return hits
}

// readHits reads the pages of hits, some at a time.
func readHits(hits []coldHit) {
	var next atomic.Int64
	read := func() {
		for i := next.Add(1) - 1; i < int64(len(hits)); i = next.Add(1) - 1 {
			h := &hits[i]
			h.entry, h.found, h.err = h.file.Read(h.key, h.at)
		}
	}
	var others sync.WaitGroup
	for range min(len(hits), readersAtOnce) - 1 {
		others.Go(read)
	}
	read()
	others.Wait()
}

// of returns the hits on a key, and whether it was asked about.
func (a *coldAhead) of(k window.Key) ([]coldHit, bool) {
	for range min(searchAhead, len(a.asked)) {
		if a.next == len(a.asked) {
			a.next = 0
		}
		if q := &a.asked[a.next]; q.key == k {
			return a.hits[q.from:q.to], true
		}
		a.next++
	}
	return nil, false
}
