package ledger

import (
	"errors"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/window"
)

// ahead is how many entries' lines are loaded before the first is looked at.
const ahead = 64

// admission is one batch as it is admitted, its entries in their order, under the
// ledger's mu: makeRoomFor comes first, and all other methods under all stripes too.
type admission struct {
	l   *Ledger
	src *source // whose positions the entries have; nil: they have none
	now int64   // when the batch came

	unsettled bool // stripes have counted some
}

// admit admits entries in their order. It must hold all locks.
func (a *admission) admit(entries []Entry) error {
	l := a.l
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
			if a.admitByStripe(&entries[i], keys[i], spots[i]) {
				continue
			}
			if err := a.admitAt(&entries[i], keys[i], spots[i]); err != nil {
				return err
			}
		}
		entries = entries[n:]
	}
	return nil
}

// admitByStripe is admitAt for nearly all: entries of new positions on which a
// stripe can give the verdict. It tells whether this was one.
func (a *admission) admitByStripe(e *Entry, k window.Key, s window.Spot) bool {
	l, st := a.l, a.l.stripes.of(k)
	if st.left > 0 && (a.src == nil || a.src.isNew(e.Offset)) {
		st.admit(l.hot.table, e, k, s, l.o.Digests)
		switch e.Verdict {
		case 0:
		case hapax.Conflict:
			l.stats.conflicts.Add(1)
			a.note(e)
			return true
		case hapax.Fresh:
			if l.journal != nil {
				l.frame.key(l.current, e)
			}
			fallthrough
		default:
			a.unsettled = true
			a.note(e)
			return true
		}
	}
	if a.unsettled {
		l.settleLocked()
		a.unsettled = false
	}
	return false
}

// note keeps the verdict on a position.
func (a *admission) note(e *Entry) {
	if a.src != nil {
		a.src.noteVerdict(e.Offset, e.Verdict == hapax.Fresh)
		a.l.frame.position(e.Offset, e.Verdict == hapax.Fresh)
	}
}

// admitAt is admitEntry for one with a position: one at or below the
// confirmed position is done, and one admitted before and not confirmed is run
// again if it was the first copy then.
func (a *admission) admitAt(e *Entry, k window.Key, s window.Spot) error {
	l := a.l
	if a.src == nil {
		return a.admitEntry(e, k, s)
	}
	if l.o.Window.EventTime {
		a.event(e)
	}
	seen, fresh := a.src.seen(e.Offset)
	known := seen && a.known(k)
	switch {
	case e.Offset > a.src.confirmed && !known:
		if err := a.admitEntry(e, k, s); err != nil {
			return err
		}
		if e.Verdict == hapax.Fresh || e.Verdict == hapax.Duplicate || e.Verdict == hapax.Conflict {
			a.note(e)
		}
	case e.Offset <= a.src.confirmed:
		e.Verdict = hapax.Duplicate
		l.stats.duplicates.Add(1)
	case l.gens.Late(e.Time):
		e.Verdict = hapax.Late
		l.stats.late.Add(1)
	case fresh:
		e.Verdict = hapax.Redelivered
		l.stats.redelivered.Add(1)
	default:
		return a.again(e, k)
	}
	return nil
}

// known tells whether the identity is remembered.
func (a *admission) known(k window.Key) bool {
	l := a.l
	if _, was := l.hot.table.Find(k); was != window.Claimed && l.stripes.of(k).live[was] {
		return true
	}
	_, _, ok, _ := l.cold.find(k) // an error comes again when it is admitted
	return ok
}

// again gives the verdict on a position that was a copy when it was first
// admitted, of an identity that is remembered.
func (a *admission) again(e *Entry, k window.Key) error {
	l := a.l
	p, was := l.hot.table.Find(k)
	hot := l.stripes.of(k).live[was]
	first := l.gens.ByNumber(was)
	var d hapax.Digest
	if hot {
		d = l.hot.digest(k, p)
	} else {
		var err error
		if first, d, _, err = l.cold.find(k); err != nil {
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
	gen, err := a.generationOf(e)
	if err != nil {
		return err
	}
	if !hot {
		return a.rewarm(e, k, d, first, gen)
	}
	a.renew(e, k, p, first, gen)
	return nil
}

// admitEntry gives the verdict on one entry, remembers it if it is fresh and
// adds it to the frame. It must hold mu and all stripes, after turn.
func (a *admission) admitEntry(e *Entry, k window.Key, s window.Spot) error {
	l := a.l
	epoch := l.hot.table.Epoch()
	gen, err := a.generationOf(e)
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
		if held, ok := l.claims.Get(e.Fingerprint, a.now); ok {
			a.claimed(e, held)
			return nil
		}
		l.claims.Drop(e.Fingerprint)
		l.hot.table.Mark(k, p, gen.Number)
		a.remember(e, k, p, gen)
		return nil
	case live[was]:
		a.copyOf(e, l.hot.digest(k, p), l.gens.ByNumber(was))
		if e.Verdict == hapax.Duplicate && l.o.Window.Kind == hapax.Renewed {
			a.renew(e, k, p, l.gens.ByNumber(was), gen)
		}
		return nil
	}
	if first, d, ok, err := l.cold.find(k); ok || err != nil {
		if err != nil {
			return err
		}
		a.copyOf(e, d, first)
		if e.Verdict == hapax.Duplicate && l.o.Window.Kind == hapax.Renewed {
			return a.rewarm(e, k, d, first, gen)
		}
		return nil
	}
	if was != 0 {
		l.hot.table.Mark(k, p, gen.Number)
		a.remember(e, k, p, gen)
		return nil
	}
	if p, err = l.hot.insert(k, s, gen.Number); err != nil {
		return err
	}
	a.remember(e, k, p, gen)
	return nil
}

// generationOf is the generation that the entry belongs to.
func (a *admission) generationOf(e *Entry) (*window.Generation, error) {
	l := a.l
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
	t := a.event(e)
	before := l.gens.Newest()
	gen, err := l.generation(t, e.Size)
	if err == nil && l.gens.Newest() != before {
		l.publishLocked()
	}
	return gen, err
}

// event moves the watermark on to an event and returns its time, which is not
// further ahead of its arrival than the window allows.
func (a *admission) event(e *Entry) int64 {
	l := a.l
	t := min(e.Time, a.now+int64(l.o.Window.Skew))
	if t > l.gens.Watermark() {
		if gone := l.gens.Advance(t); len(gone) > 0 {
			l.ended(gone, false)
			l.publishLocked()
		}
	}
	return t
}

// claimed is the verdict on an identity that somebody is working on.
func (a *admission) claimed(e *Entry, held window.Held) {
	l := a.l
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
func (a *admission) remember(e *Entry, k window.Key, p window.Place, gen *window.Generation) {
	l := a.l
	e.Verdict = hapax.Fresh
	l.stats.fresh.Add(1)
	l.receipts.drop(e.Fingerprint) // of when it was remembered before
	if l.journal != nil {
		l.frame.key(gen, e)
	}
	a.keep(e, k, p, gen)
}

// keep accounts for an identity that has just been put into the table.
func (a *admission) keep(e *Entry, k window.Key, p window.Place, gen *window.Generation) {
	l := a.l
	l.hot.live.Add(1)
	l.hot.setSide(k, p, e.Fingerprint, e.Digest)
	a.count(gen, 1, e.Size)
}

// count adds to a generation, which may end others.
func (a *admission) count(gen *window.Generation, n, size int64) {
	if gone := a.l.gens.Add(gen, n, size); len(gone) > 0 {
		a.l.ended(gone, false)
		a.l.publishLocked()
	}
}

// copyOf is the verdict on a copy of an identity of generation first, kept
// with digest d.
func (a *admission) copyOf(e *Entry, d hapax.Digest, first *window.Generation) {
	l := a.l
	if differ(d, e.Digest) {
		e.Verdict = hapax.Conflict
		l.stats.conflicts.Add(1)
		return
	}
	e.Verdict = hapax.Duplicate
	l.stats.duplicates.Add(1)
	l.stats.age(a.now - first.Start)
	if l.o.Details && l.journal != nil {
		l.frame.copied(first, e)
	}
}

// renew makes the window of an identity run anew. Its bytes came when it did.
func (a *admission) renew(e *Entry, k window.Key, p window.Place, first, gen *window.Generation) {
	l := a.l
	w := l.o.Window
	if gen.End < first.End || gen.End == first.End && gen.ID <= first.ID {
		if l.hot.recency == nil && (!w.EventTime || w.Count+w.Bytes == 0) {
			return
		}
		gen = first // an older event is a sight all the same
	}
	if l.hot.recency != nil {
		l.hot.recency.Touch(l.hot.recencyAt(k, p))
	}
	moved := int64(0)
	if first != gen {
		l.hot.table.Mark(k, p, gen.Number)
		l.gens.Remove(first, 1, 0)
		moved = 1
	}
	a.count(gen, moved, 0)
	if l.journal != nil {
		l.frame.renewed(gen, e, l.hot.digest(k, p))
	}
}

// rewarm puts an identity of a cold file into the table: its window runs anew.
func (a *admission) rewarm(e *Entry, k window.Key, d hapax.Digest, first, gen *window.Generation) (err error) {
	l := a.l
	p, was := l.hot.table.Find(k)
	if was != 0 { // from before it was cold
		l.hot.table.Mark(k, p, gen.Number)
	} else if p, err = l.hot.insert(k, l.hot.table.Spot(k), gen.Number); err != nil {
		return err
	}
	l.hot.setSide(k, p, e.Fingerprint, d)
	l.gens.Remove(first, 1, 0)
	l.cold.live--
	l.hot.live.Add(1)
	l.frame.renewed(gen, e, d)
	a.count(gen, 1, 0)
	return nil
}
