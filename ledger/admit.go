package ledger

import (
	"context"
	"sync"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/window"
)

// Entry is one message in a [Batch].
type Entry struct {
	Fingerprint hapax.Fingerprint
	Digest      hapax.Digest  // of the payload; zero: compare none
	Offset      int64         // position in Batch.Source, not negative
	Time        int64         // event time in Unix nanoseconds, for event-time windows
	Size        int64         // bytes of the message, for windows bounded by bytes
	Verdict     hapax.Verdict // set by Admit
}

// Batch is asked about in one step.
type Batch struct {
	Source  string // whose positions the entries' offsets are; "": they have none
	Entries []Entry
}

// Admit gives a verdict on each entry, in order, and remembers the fresh ones:
// for callers whose effect is the log itself, or who confirm it by position. A
// copy within the batch is a Duplicate of the one before it.
//
// On return all verdicts are as durable as [Options.Durability] says; that of a
// Duplicate covers its first copy. Batches of 256 and more are several times as
// fast as single entries. An error means that no verdict counts: the ledger may
// or may not remember the batch, which Source and Offset settle when it is
// admitted again. The entries stay the caller's.
func (l *Ledger) Admit(ctx context.Context, b *Batch) error {
	if err := ctx.Err(); err != nil {
		return err
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
		return l.admitInOrder(&Batch{Entries: []Entry{*e}}, e)
	}
	if err := l.catchUp(); err != nil {
		return err
	}
	if l.live.Load() >= l.most() {
		return l.admitInOrder(&Batch{Entries: []Entry{*e}}, e)
	}
	k := window.KeyOf(e.Fingerprint)
	st := l.stripe(k)
	st.mu.Lock()
	if st.number == 0 {
		st.mu.Unlock()
		return l.admitContested(e)
	}
	err := st.admit(l.table, e, k, l.table.Spot(k), l.o.Digests)
	st.mu.Unlock()
	switch {
	case err != nil || e.Verdict == 0:
		return l.admitContested(e)
	case e.Verdict == hapax.Fresh:
		return l.took(1)
	case e.Verdict == hapax.Conflict:
		l.stats.conflicts.Add(1)
	}
	return nil
}

// maxPiece is how many entries are spread over the stripes at once.
const maxPiece = 1024

// piece is the working memory of one admitPiece.
type piece struct {
	keys  [maxPiece]window.Key
	order [maxPiece]uint16 // entries, by stripe
	spots [maxPiece]window.Spot
	start [stripes + 1]uint16
	first int // stripe to begin with: differs between callers
	sink  uint64
}

var pieces = sync.Pool{New: func() any { return new(piece) }}

// admitPiece spreads entries over the stripes and admits those of one stripe
// under its lock at once, copies in their order.
func (l *Ledger) admitPiece(entries []Entry) error {
	if err := l.catchUp(); err != nil {
		return err
	}
	if l.live.Load()+int64(len(entries)) > l.most() {
		return l.admitInOrder(&Batch{Entries: entries})
	}
	w := pieces.Get().(*piece)
	defer pieces.Put(w)
	w.spread(entries)
	fresh, conflicts, contested := 0, 0, 0
	for i := range stripes / together {
		at := (i + w.first) % (stripes / together) * together
		f, c, t := l.admitGroup(w, entries, at)
		fresh, conflicts, contested = fresh+f, conflicts+c, contested+t
	}
	w.first++
	if conflicts > 0 {
		l.stats.conflicts.Add(int64(conflicts))
	}
	if contested > 0 {
		for i := range entries {
			if entries[i].Verdict == 0 {
				if err := l.admitContested(&entries[i]); err != nil {
					return err
				}
			}
		}
	}
	return l.took(fresh)
}

// spread sorts the entries by stripe, those of one stripe in their order.
func (w *piece) spread(entries []Entry) {
	var count [stripes + 1]uint16
	for i := range entries {
		w.keys[i] = window.KeyOf(entries[i].Fingerprint)
		count[stripeOf(w.keys[i].Shard())+1]++
	}
	for i := range stripes {
		count[i+1] += count[i]
	}
	w.start = count
	for i := range entries {
		s := stripeOf(w.keys[i].Shard())
		w.order[count[s]] = uint16(i)
		count[s]++
	}
}

// together is how many neighbouring stripes a piece locks at once: enough keys
// for their misses to overlap.
const together = 4

// admitGroup admits the entries of the stripes from the one given on.
func (l *Ledger) admitGroup(w *piece, entries []Entry, first int) (fresh, conflicts, contested int) {
	group := w.order[w.start[first]:w.start[first+together]]
	if len(group) == 0 {
		return 0, 0, 0
	}
	for i := range together {
		l.stripes[first+i].mu.Lock()
	}
	fresh, conflicts, contested = l.admitLocked(w, entries, group, first)
	for i := range together {
		l.stripes[first+i].mu.Unlock()
	}
	return fresh, conflicts, contested
}

// admitLocked admits the entries of stripes that are locked.
func (l *Ledger) admitLocked(w *piece, entries []Entry, group []uint16, first int) (fresh, conflicts, contested int) {
	if l.stripes[first].number == 0 { // and so have all: the ledger is closed
		for _, i := range group {
			entries[i].Verdict = 0
		}
		return 0, 0, len(group)
	}
	for j, i := range group {
		w.spots[j] = l.table.Spot(w.keys[i])
	}
	for _, s := range w.spots[:len(group)] {
		w.sink ^= l.table.Touch(s)
	}
	for j, i := range group {
		e := &entries[i]
		if err := l.stripe(w.keys[i]).admit(l.table, e, w.keys[i], w.spots[j], l.o.Digests); err != nil {
			e.Verdict = 0
		}
		switch e.Verdict {
		case hapax.Fresh:
			fresh++
		case hapax.Conflict:
			conflicts++
		case 0:
			contested++
		}
	}
	return fresh, conflicts, contested
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
	l.settle()
	return l.turn(now)
}

// took accounts for identities admitted under stripes alone: it begins a new
// generation when the current one is full, and pays for the sweep under way.
func (l *Ledger) took(fresh int) error {
	if fresh == 0 {
		return nil
	}
	full := l.room.Add(-int64(fresh)) <= 0
	owes := l.debt.Add(int64(fresh)*lineDebt) >= payment
	if !full && !owes {
		return nil
	}
	if full {
		l.mu.Lock()
	} else if !l.mu.TryLock() {
		return nil // whoever holds it pays next time
	}
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return err
	}
	l.settle()
	if l.gens.Room(l.current) <= 0 {
		if err := l.turn(l.now()); err != nil {
			return err
		}
	}
	return l.pay()
}

// admitContested gives the verdict on an entry that stripes alone cannot tell:
// it is claimed, it found no place, or the ledger is closed.
func (l *Ledger) admitContested(e *Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return err
	}
	now := l.now()
	l.settle()
	if err := l.turn(now); err != nil {
		return err
	}
	if err := l.makeRoomFor([]Entry{*e}); err != nil {
		return err
	}
	l.lockAll()
	defer l.unlockAll()
	return l.admitEntry(e, window.KeyOf(e.Fingerprint), now)
}
