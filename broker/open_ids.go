package broker

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/ledger"
)

// mostOpenIDs is how many ids the open transactions of a node may have in topics
// with windows, and mostOfOne how many of them one may have in a window.
const (
	mostOpenIDs = 4 << 20
	mostOfOne   = 1 << 20
)

// openIDs are the ids of open transactions, which are nobody's yet: of those who
// write one, the first to commit has it, and who writes it without a transaction has
// it at once. They are not in the log: a node that is opened reads them from the
// transactions' records.
type openIDs struct {
	mu   sync.Mutex
	of   map[int64]openTransaction // by producer, which has one at a time
	many int
}

// openTransaction is what a transaction wrote to partitions with windows, by their
// numbers, and which ids it has in each window.
type openTransaction struct {
	parts  map[uint32]*openPart
	ids    map[*window]firsts
	others map[*window]firsts // of its ids, those that the window had before its end: see foresee
	looks  int                // how often they were looked for
}

// openPart is what it wrote to one partition.
type openPart struct {
	w     *window
	index int32 // of the partition
	ids   []openID
}

// openID is the id of a record.
type openID struct {
	print  hapax.Fingerprint
	digest hapax.Digest
	offset int64
	size   int64
}

// known are the ids that the transaction of a producer has in a window. They change
// only under the window's mu.
func (o *openIDs) known(producer int64, w *window) firsts {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.of[producer].ids[w]
}

// has tells whether the transaction of a producer has ids.
func (o *openIDs) has(producer int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.of[producer].parts) > 0
}

// fits refuses ids that would be too many. The caller holds the window's mu.
func (o *openIDs) fits(producer int64, w *window, more int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch has := len(o.of[producer].ids[w]); {
	case has+more > mostOfOne:
		return refuse(code.TransactionAbortable, "a transaction of more than %d records with ids in one topic: abort it, and make it smaller", mostOfOne)
	case o.many+more > mostOpenIDs:
		return refuse(code.TransactionAbortable, "open transactions have %d records with ids in topics with windows, and %d is the most: abort, and try again", o.many, mostOpenIDs)
	}
	return nil
}

// add adds records of a producer's transaction. The caller holds the window's mu.
func (o *openIDs) add(producer int64, number uint32, w *window, index int32, entries []ledger.Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t, ok := o.of[producer]
	if !ok {
		t = openTransaction{parts: make(map[uint32]*openPart), ids: make(map[*window]firsts), others: make(map[*window]firsts)}
		o.of[producer] = t
	}
	part := t.parts[number]
	if part == nil || part.w != w {
		part = &openPart{w: w, index: index}
		t.parts[number] = part
	}
	ids := t.ids[w]
	if ids == nil {
		ids = make(firsts)
		t.ids[w] = ids
	}
	o.many += len(entries)
	for i := range entries {
		e := &entries[i]
		part.ids = append(part.ids, openID{e.Fingerprint, e.Digest, e.Offset, e.Size})
		ids.add(e, index)
	}
}

// inOrder puts what transactions have in a window into the order of the offsets, in
// which the window is told of it.
func (o *openIDs) inOrder(w *window) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range o.of {
		for _, part := range t.parts {
			if part.w == w {
				slices.SortFunc(part.ids, func(a, b openID) int { return cmp.Compare(a.offset, b.offset) })
			}
		}
	}
}

// parts are what the transaction of a producer wrote, by window in the order of
// their numbers, which is that of their locks.
func (o *openIDs) parts(producer int64) (all []map[uint32]*openPart) {
	o.mu.Lock()
	defer o.mu.Unlock()
	of := make(map[*window]map[uint32]*openPart)
	for number, part := range o.of[producer].parts {
		if of[part.w] == nil {
			of[part.w] = make(map[uint32]*openPart)
		}
		of[part.w][number] = part
	}
	windows := slices.SortedFunc(maps.Keys(of), compareWindows)
	for _, w := range windows {
		all = append(all, of[w])
	}
	return all
}

// forget lets go of what transactions have in a window.
func (o *openIDs) forget(w *window) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for producer, t := range o.of {
		for number, part := range t.parts {
			if part.w == w {
				o.many -= len(part.ids)
				delete(t.parts, number)
			}
		}
		if delete(t.ids, w); len(t.parts) == 0 {
			delete(o.of, producer)
		}
	}
}

// end lets a producer's transaction go.
func (o *openIDs) end(producer int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, part := range o.of[producer].parts {
		o.many -= len(part.ids)
	}
	delete(o.of, producer)
}
