package ledger

import (
	"context"
	"fmt"
	"sync"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/window"
)

// Entry is one message in a [Batch].
type Entry struct {
	// Fingerprint is of the message's scope and identity, as the [identity.Hasher] of
	// [Ledger.Hasher] makes it for a ledger with a directory: its secret is in it, so
	// that another ledger's fingerprint, or one made by hand, names another message.
	Fingerprint hapax.Fingerprint

	Digest  hapax.Digest  // of the payload, by the same Hasher; zero: compare none
	Offset  int64         // position in Batch.Source, not negative
	Time    int64         // event time in Unix nanoseconds, for event-time windows
	Size    int64         // bytes of the message, not negative, for windows bounded by bytes
	Verdict hapax.Verdict // set by Admit
}

// Batch is asked about in one step.
type Batch struct {
	Source  string // whose positions the entries' offsets are; "": they have none
	Entries []Entry
	Through int64 // of a [Step]: where the next batch of the source begins, less one
}

// Admit gives a verdict on each entry, in order, and remembers the fresh ones:
// for callers whose effect is the log itself, or who confirm it by position. A
// copy within the batch is a Duplicate of the one before it.
//
// On return all verdicts are as durable as [Options.Durability] says; that of a
// Duplicate covers its first copy. Batches of 256 and more are several times as
// fast as single entries. An error means that no verdict counts: the ledger may
// or may not remember the batch, which Source and Offset settle when it is
// admitted again. A ledger with a directory takes up to 1,048,576 entries at
// once. The entries stay the caller's.
func (l *Ledger) Admit(ctx context.Context, b *Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.o.Follows != nil {
		return fmt.Errorf("admit: %w", errFollows)
	}
	if !l.concurrent || b.Source != "" {
		return l.admitInOrder(b)
	}
	for rest := b.Entries; len(rest) > 0; {
		n := min(len(rest), maxPiece)
		if err := l.admitPiece(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// AdmitOne is Admit of one entry without a position.
func (l *Ledger) AdmitOne(ctx context.Context, e *Entry) error {
	if !l.concurrent {
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.o.Follows != nil {
			return fmt.Errorf("admit: %w", errFollows)
		}
		return l.admitInOrder(&Batch{Entries: []Entry{*e}}, e)
	}
	if err := l.catchUp(); err != nil {
		return err
	}
	k := window.KeyOf(e.Fingerprint)
	st := l.stripes.of(k)
	l.hot.ahead.Load().Load(k)
	st.lock()
	st.admit(l.hot.table, e, k, l.hot.table.Spot(k), l.o.Digests)
	st.mu.Unlock()
	switch e.Verdict {
	case 0:
		return l.admitInOrder(&Batch{Entries: []Entry{*e}}, e)
	case hapax.Conflict:
		l.stats.conflicts.Add(1)
	}
	return nil
}

// maxPiece is how many entries are spread over the stripes at once.
const maxPiece = 1024

// piece is the working memory of one admitPiece.
type piece struct {
	order [maxPiece]uint16 // entries, by stripe
	keys  [maxPiece]window.Key
	spots [maxPiece]window.Spot
	start [stripes + 1]uint16
	rest  Batch // entries without a verdict yet
}

var pieces = sync.Pool{New: func() any { return new(piece) }}

// admitPiece spreads entries over the stripes and admits those of one stripe
// under its lock at once, copies in their order.
func (l *Ledger) admitPiece(entries []Entry) error {
	if err := l.catchUp(); err != nil {
		return err
	}
	w := pieces.Get().(*piece)
	defer pieces.Put(w)
	w.spread(entries)
	conflicts, contested := 0, 0
	for left, looks := uint(1<<groups-1), 0; left != 0; looks++ {
		for at := range groups {
			if left>>at&1 != 0 && l.stripes.lockGroup(at, looks > patientLooks) {
				c, t := l.admitGroup(w, entries, at)
				conflicts, contested = conflicts+c, contested+t
				left &^= 1 << at
				looks = 0 // others may have let go of theirs meanwhile
			}
		}
	}
	if conflicts > 0 {
		l.stats.conflicts.Add(int64(conflicts))
	}
	if contested > 0 {
		return l.admitContested(w, entries)
	}
	return nil
}

// spread sorts the entries by stripe, those of one stripe in their order.
func (w *piece) spread(entries []Entry) {
	var count [stripes + 1]uint16
	for i := range entries {
		count[stripeOf(entries[i].Fingerprint[0])+1]++
	}
	for i := range stripes {
		count[i+1] += count[i]
	}
	w.start = count
	for i := range entries {
		s := stripeOf(entries[i].Fingerprint[0])
		w.order[count[s]&(maxPiece-1)] = uint16(i)
		count[s]++
	}
}

// A piece locks neighbouring stripes at once, a group: enough keys for their
// misses to overlap. Where another caller has a group it takes the next, and looks
// again some times before it waits: nobody has one for more than microseconds.
const (
	groups       = 8
	together     = stripes / groups
	patientLooks = 200
)

// lockGroup locks a group's stripes. If it is not to wait it is false where
// another caller has one of them.
func (s *stripeSet) lockGroup(at int, wait bool) bool {
	group := s[at*together : (at+1)*together]
	for i := range group {
		if wait {
			group[i].mu.Lock()
		} else if !group[i].mu.TryLock() {
			unlock(group[:i])
			return false
		}
	}
	return true
}

func unlock(group []stripe) {
	for i := range group {
		group[i].mu.Unlock()
	}
}

// admitGroup admits the entries of a group that is locked, and unlocks it.
func (l *Ledger) admitGroup(w *piece, entries []Entry, at int) (conflicts, contested int) {
	first := at * together
	defer unlock(l.stripes[first : first+together])
	group := w.order[w.start[first]:w.start[first+together]]
	keys, spots := w.keys[:len(group)], w.spots[:len(group)]
	for j, i := range group {
		keys[j] = window.KeyOf(entries[i].Fingerprint)
		spots[j] = l.hot.table.Spot(keys[j])
	}
	if l.stripes[first].left > 0 { // else the ledger may be closed, and its memory gone
		l.hot.table.Load(keys, spots, &l.stripes[first].live)
	}
	for j, i := range group {
		e := &entries[i]
		l.stripes.of(keys[j]).admit(l.hot.table, e, keys[j], spots[j], l.o.Digests)
		switch e.Verdict {
		case hapax.Conflict:
			conflicts++
		case 0:
			contested++
		}
	}
	return conflicts, contested
}

// admitContested gives the verdicts on the entries of a piece that have none:
// they are claimed, or their stripe's share is used up.
func (l *Ledger) admitContested(w *piece, entries []Entry) error {
	rest := w.rest.Entries[:0]
	for i := range entries {
		if entries[i].Verdict == 0 {
			rest = append(rest, entries[i])
		}
	}
	w.rest.Entries = rest
	if err := l.admitInOrder(&w.rest); err != nil {
		return err
	}
	for i := range entries {
		if entries[i].Verdict == 0 {
			entries[i].Verdict, rest = rest[0].Verdict, rest[1:]
		}
	}
	return nil
}

// catchUp ends the slices of time that are over, where no timer does.
func (l *Ledger) catchUp() error {
	if l.timed {
		return nil
	}
	now := l.now()
	if now < l.deadline.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return err
	}
	return l.turn(now)
}
