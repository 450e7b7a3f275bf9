package ledger

import (
	"errors"
	"fmt"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/window"
)

// admitInOrder admits a batch under mu: verdicts, frame and positions are one
// step. What is given beside the batch receives the first verdict.
func (l *Ledger) admitInOrder(b *Batch, one ...*Entry) error {
	end, err := l.admitBatch(b)
	if err != nil {
		return err
	}
	if l.journal != nil && end > 0 {
		if err := l.settled(l.journal.wait(end)); err != nil {
			return err
		}
	}
	for _, e := range one {
		*e = b.Entries[0]
	}
	return nil
}

// admitBatch gives the verdicts and appends their frame. It returns the journal's
// end: what the verdicts depend on.
func (l *Ledger) admitBatch(b *Batch) (end int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { err = l.sound(err) }()
	if err := l.ready(); err != nil {
		return 0, err
	}
	if l.o.ReadOnly {
		return 0, errReadOnly
	}
	if n := len(b.Entries); n > maxBatch && l.journal != nil {
		return 0, fmt.Errorf("admit: a batch of %d entries, and at most %d go into one frame of the log: split it", n, maxBatch)
	}
	now := l.now()
	if err := l.turnIfDue(now); err != nil {
		return 0, err
	}
	if l.concurrent {
		l.settle()
	}
	if err := l.makeRoomFor(b.Entries); err != nil {
		return 0, err
	}
	if err := l.hot.fit(len(b.Entries)); err != nil {
		return 0, l.fail(err)
	}
	if err := l.roll(); err != nil {
		return 0, err
	}
	src, err := l.source(b.Source, b.Entries)
	if err != nil {
		return 0, err
	}
	l.frame.begin(now, b.Source)
	l.stripes.lockAll()
	err = l.admitEntries(b.Entries, src, now)
	l.deal()
	l.stripes.unlockAll()
	if err != nil {
		// The table remembers part of a batch that has no frame.
		return 0, l.fail(err)
	}
	return l.finishBatch(len(b.Entries))
}

func (l *Ledger) finishBatch(n int) (end int64, err error) {
	if end, err = l.logBatch(); err != nil {
		return 0, err
	}
	if err := l.hot.pay(n); err != nil {
		return end, l.fail(err)
	}
	return end, nil
}

// logBatch appends the batch's frame, if there is anything in it or the watermark
// has moved, and returns the journal's end.
func (l *Ledger) logBatch() (end int64, err error) {
	if l.journal == nil {
		return 0, nil
	}
	moved := false
	if mark := l.gens.Watermark(); l.o.Window.EventTime {
		moved, l.frame.now = mark > l.frame.marked, mark
		l.frame.marked = mark
	}
	if moved || !l.frame.empty() {
		if err := l.appendFrame(); err != nil {
			return 0, l.fail(err)
		}
	}
	return l.journal.end(), nil
}

// roll begins a new file of the log where it is time to. It comes before the
// batch changes anything: the file's snapshot must not know of what is not in
// the log yet.
func (l *Ledger) roll() error {
	if l.journal == nil {
		return nil
	}
	if err := l.journal.roll(); err != nil {
		return l.fail(err)
	}
	return nil
}

// appendFrame appends the batch's frame, and before it what its file does not
// know of the frame's generations.
func (l *Ledger) appendFrame() error {
	for _, b := range l.frame.blocks {
		if err := l.journal.use(b.gen); err != nil {
			return err
		}
	}
	return l.journal.append(frameAdmit, l.frame.payload())
}

// ahead is how many entries' lines are loaded before the first is looked at.
const ahead = 64

// admitEntries admits entries in their order. It must hold all locks.
func (l *Ledger) admitEntries(entries []Entry, src *source, now int64) error {
	var keys [ahead]window.Key
	var spots [ahead]window.Spot
	for len(entries) > 0 {
		n := min(len(entries), ahead)
		for i := range n {
			keys[i] = window.KeyOf(entries[i].Fingerprint)
			spots[i] = l.hot.table.Spot(keys[i])
		}
		l.hot.table.Load(keys[:n], spots[:n])
		epoch := l.hot.table.Epoch()
		for i := range n {
			if l.hot.table.Epoch() != epoch {
				spots[i] = l.hot.table.Spot(keys[i])
			}
			if err := l.admitAt(&entries[i], keys[i], spots[i], src, now); err != nil {
				return err
			}
		}
		entries = entries[n:]
	}
	return nil
}

// admitAt is admitEntry for an entry with a position: one at or below the
// confirmed position is done, and one admitted before and not confirmed is run
// again if it was the first copy then.
func (l *Ledger) admitAt(e *Entry, k window.Key, s window.Spot, src *source, now int64) error {
	if src == nil {
		return l.admitEntry(e, k, s, now)
	}
	if l.o.Window.EventTime {
		l.event(e, now)
	}
	seen, fresh := src.seen(e.Offset)
	known := seen && l.known(k)
	switch {
	case e.Offset > src.confirmed && !known:
		if err := l.admitEntry(e, k, s, now); err != nil {
			return err
		}
		if e.Verdict == hapax.Fresh || e.Verdict == hapax.Duplicate || e.Verdict == hapax.Conflict {
			src.noteVerdict(e.Offset, e.Verdict == hapax.Fresh)
			l.frame.position(e.Offset, e.Verdict == hapax.Fresh)
		}
	case e.Offset <= src.confirmed:
		e.Verdict = hapax.Duplicate
		l.stats.duplicates.Add(1)
	case l.gens.Late(e.Time):
		e.Verdict = hapax.Late
		l.stats.late.Add(1)
	case fresh:
		e.Verdict = hapax.Redelivered
		l.stats.redelivered.Add(1)
	default:
		return l.again(e, k, now)
	}
	return nil
}

// known tells whether the identity is remembered.
func (l *Ledger) known(k window.Key) bool {
	if _, was := l.hot.table.Find(k); was != window.Claimed && l.stripes.of(k).live[was] {
		return true
	}
	_, _, ok, _ := l.cold.find(k, l.gens) // an error comes again when it is admitted
	return ok
}

// again gives the verdict on a position that was a copy when it was first
// admitted, of an identity that is remembered.
func (l *Ledger) again(e *Entry, k window.Key, now int64) error {
	p, was := l.hot.table.Find(k)
	hot := l.stripes.of(k).live[was]
	first := l.gens.ByNumber(was)
	var d hapax.Digest
	if hot {
		d = l.digest(k, p)
	} else {
		var err error
		if first, d, _, err = l.cold.find(k, l.gens); err != nil {
			return err
		}
	}
	if differ(d, e.Digest) {
		e.Verdict = hapax.Conflict
		l.stats.conflicts.Add(1)
		return nil
	}
	e.Verdict = hapax.Duplicate
	l.stats.duplicates.Add(1)
	if l.o.Window.Kind != hapax.Renewed {
		return nil
	}
	gen, err := l.generationOf(e, now)
	if err != nil {
		return err
	}
	if !hot {
		return l.rewarm(e, k, d, first, gen)
	}
	l.renew(e, k, p, first, gen)
	return nil
}

// admitEntry gives the verdict on one entry, remembers it if it is fresh and
// adds it to the frame. It must hold mu and all stripes, after turn.
func (l *Ledger) admitEntry(e *Entry, k window.Key, s window.Spot, now int64) error {
	epoch := l.hot.table.Epoch()
	gen, err := l.generationOf(e, now)
	if err != nil {
		if !errors.Is(err, window.ErrLate) {
			return err
		}
		e.Verdict = hapax.Late
		l.stats.late.Add(1)
		return nil
	}
	if l.hot.table.Epoch() != epoch {
		s = l.hot.table.Spot(k)
	}
	p, was := l.hot.table.FindAt(k, s)
	live := &l.stripes.of(k).live
	switch {
	case was == window.Claimed:
		if held, ok := l.claims.Get(e.Fingerprint, now); ok {
			l.claimed(e, held)
			return nil
		}
		l.claims.Drop(e.Fingerprint)
		l.hot.table.Mark(k, p, gen.Number)
		l.remember(e, k, p, gen)
		return nil
	case live[was]:
		l.copyOf(e, l.digest(k, p), l.gens.ByNumber(was), now)
		if e.Verdict == hapax.Duplicate && l.o.Window.Kind == hapax.Renewed {
			l.renew(e, k, p, l.gens.ByNumber(was), gen)
		}
		return nil
	}
	if first, d, ok, err := l.cold.find(k, l.gens); ok || err != nil {
		if err != nil {
			return err
		}
		l.copyOf(e, d, first, now)
		if e.Verdict == hapax.Duplicate && l.o.Window.Kind == hapax.Renewed {
			return l.rewarm(e, k, d, first, gen)
		}
		return nil
	}
	if was != 0 {
		l.hot.table.Mark(k, p, gen.Number)
		l.remember(e, k, p, gen)
		return nil
	}
	if p, err = l.hot.insert(k, s, gen.Number); err != nil {
		return err
	}
	l.remember(e, k, p, gen)
	return nil
}

// generationOf is the generation that the entry belongs to.
func (l *Ledger) generationOf(e *Entry, now int64) (*window.Generation, error) {
	if !l.o.Window.EventTime {
		if l.gens.Fits(l.current, e.Size) {
			return l.current, nil
		}
		l.settleLocked()
		gen, err := l.generation(0, e.Size)
		if err != nil {
			return nil, err
		}
		l.current = gen
		l.publishLocked()
		return gen, nil
	}
	t := l.event(e, now)
	before := l.gens.Newest()
	gen, err := l.generation(t, e.Size)
	if err == nil && l.gens.Newest() != before {
		l.publishLocked()
	}
	return gen, err
}

// event moves the watermark on to an event and returns its time, which is not
// further ahead of its arrival than the window allows.
func (l *Ledger) event(e *Entry, now int64) int64 {
	t := min(e.Time, now+int64(l.o.Window.Skew))
	if t > l.gens.Watermark() {
		if gone := l.gens.Advance(t); len(gone) > 0 {
			l.ended(gone, false)
			l.publishLocked()
		}
	}
	return t
}

// claimed is the verdict on an identity that somebody is working on.
func (l *Ledger) claimed(e *Entry, held window.Held) {
	if differ(held.Digest, e.Digest) {
		e.Verdict = hapax.Conflict
		l.stats.conflicts.Add(1)
		return
	}
	e.Verdict = hapax.InFlight
	l.stats.inFlight.Add(1)
}

// remember accounts for an identity that has just been put into the table, and
// adds it to the frame.
func (l *Ledger) remember(e *Entry, k window.Key, p window.Place, gen *window.Generation) {
	e.Verdict = hapax.Fresh
	l.stats.fresh.Add(1)
	l.receipts.drop(e.Fingerprint) // of when it was remembered before
	if l.journal != nil {
		l.frame.key(gen, e)
	}
	l.keep(e, k, p, gen)
}

// keep accounts for an identity that has just been put into the table.
func (l *Ledger) keep(e *Entry, k window.Key, p window.Place, gen *window.Generation) {
	l.hot.live.Add(1)
	l.setSide(k, p, e.Fingerprint, e.Digest)
	if gone := l.gens.Add(gen, 1, e.Size); len(gone) > 0 {
		l.ended(gone, false)
		l.publishLocked()
	}
}

// trim lets the oldest identity of an exact count window go when one more came
// than it holds.
func (l *Ledger) trim() {
	for int64(l.recency.Len()) > l.o.Window.Count {
		f, at, _ := l.recency.Oldest()
		l.recency.Remove(at)
		k := window.KeyOf(f)
		p, was := l.hot.table.Find(k)
		if was == 0 || was == window.Claimed || l.recencyAt(k, p) != at {
			continue // it had left by another bound, and may have come anew
		}
		l.hot.table.Mark(k, p, 0)
		if gen := l.gens.ByNumber(was); gen != nil {
			l.gens.Remove(gen, 1, 0)
			l.hot.live.Add(-1)
		}
	}
}

// copyOf is the verdict on a copy of an identity of generation first, kept
// with digest d.
func (l *Ledger) copyOf(e *Entry, d hapax.Digest, first *window.Generation, now int64) {
	if differ(d, e.Digest) {
		e.Verdict = hapax.Conflict
		l.stats.conflicts.Add(1)
		return
	}
	e.Verdict = hapax.Duplicate
	l.stats.duplicates.Add(1)
	l.stats.age(now - first.Start)
	if l.o.Details && l.journal != nil {
		l.frame.copied(first, e)
	}
}

// renew makes the window of an identity run anew. Its bytes came when it did.
func (l *Ledger) renew(e *Entry, k window.Key, p window.Place, first, gen *window.Generation) {
	w := l.o.Window
	if gen.End < first.End || gen.End == first.End && gen.ID <= first.ID {
		if l.recency == nil && (!w.EventTime || w.Count+w.Bytes == 0) {
			return
		}
		gen = first // an older event is a sight all the same
	}
	if l.recency != nil {
		l.recency.Touch(l.recencyAt(k, p))
	}
	moved := int64(0)
	if first != gen {
		l.hot.table.Mark(k, p, gen.Number)
		l.gens.Remove(first, 1, 0)
		moved = 1
	}
	if gone := l.gens.Add(gen, moved, 0); len(gone) > 0 {
		l.ended(gone, false)
		l.publishLocked()
	}
	if l.journal != nil {
		l.frame.renewed(gen, e, l.digest(k, p))
	}
}

// digest is the digest kept of an identity in the table, 0 if none.
func (l *Ledger) digest(k window.Key, p window.Place) hapax.Digest {
	if l.recency == nil {
		return hapax.Digest(l.hot.table.Side(k, p))
	}
	return l.recency.Digest(l.recencyAt(k, p))
}

// recencyAt is the place of an identity in the table in the order of an exact
// count window.
func (l *Ledger) recencyAt(k window.Key, p window.Place) uint32 {
	return uint32(l.hot.table.Side(k, p))
}
