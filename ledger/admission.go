package ledger

import (
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

	follows   bool // the entries have positions in a log that the ledger follows
	unsettled bool // stripes have counted some
}

// admit admits entries in their order. It must hold all locks.
func (a *admission) admit(entries []Entry) error {
	var near approach
	t := a.l.hot.table
	epoch := t.Epoch()
	for at := -2 * stride; at < len(entries); at += stride {
		near.buckets(t, entries, at+2*stride)
		near.leaving(&a.l.hot, min(at+2*stride, 2*stride))
		near.ways(t, entries, at+stride, &a.l.stripes[0].live)
		if at < 0 {
			continue
		}
		keys, spots := near.group(len(entries), at)
		for i, k := range keys {
			if t.Epoch() != epoch {
				spots[i] = t.Spot(k)
			}
			e := &entries[at+i]
			if a.admitByStripe(e, k, spots[i]) {
				continue
			}
			if err := a.admitAt(e, k, spots[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// admitByStripe is admitAt for nearly all: entries of new positions on which a
// stripe can give the verdict. It tells whether this was one.
func (a *admission) admitByStripe(e *Entry, k window.Key, s window.Spot) bool {
	l, st := a.l, a.l.stripes.of(k)
	if st.left > 0 && (a.src == nil || a.src.isNew(e.Offset)) {
		st.admit(l.hot.table, e, k, s, l.o.Digests)
		if e.Verdict == hapax.Fresh && l.journal != nil {
			l.frame.key(l.current, e)
		}
		switch {
		case e.Verdict == hapax.Conflict:
			l.stats.conflicts.Add(1)
		case e.Verdict == hapax.Duplicate && tellsCopies(l):
			_, was := l.hot.table.FindAt(k, s)
			l.frame.copied(l.gens.ByNumber(was), e)
		}
		if e.Verdict != 0 {
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
	if a.follows {
		a.l.frame.position(e.Offset, e.Verdict == hapax.Fresh)
	}
	if a.src != nil {
		a.src.noteVerdict(e.Offset, printOfEntry(e), e.Verdict == hapax.Fresh)
		a.l.frame.positionOf(e)
	}
}

// admitAt is admitEntry for one with a position. One that was met lets nothing leave
// the window and moves no watermark: at or below the confirmed position it is done, and above it gets the
// verdict it had, whatever has left the window since.
func (a *admission) admitAt(e *Entry, k window.Key, s window.Spot) error {
	l := a.l
	if a.src == nil {
		err := a.admitEntry(e, k, s)
		if err == nil {
			a.note(e)
		}
		return err
	}
	met := a.src.met(e)
	if met == 0 {
		if err := a.admitEntry(e, k, s); err != nil {
			return err
		}
		if e.Verdict == hapax.Fresh || e.Verdict == hapax.Duplicate || e.Verdict == hapax.Conflict {
			a.note(e)
		}
		return nil
	}
	if e.Offset <= a.src.confirmed {
		e.Verdict = hapax.Duplicate
		l.stats.duplicates.Add(1)
		return nil
	}
	if held, ok := l.claims.Get(e.Fingerprint, a.now); ok { // it left the window before that
		if a.claimed(e, held); e.Verdict == hapax.Conflict {
			a.note(e)
		}
		return nil
	}
	switch e.Verdict = met; met {
	case hapax.Redelivered:
		l.stats.redelivered.Add(1)
	case hapax.Conflict:
		l.stats.conflicts.Add(1)
	default:
		l.stats.duplicates.Add(1)
		return a.again(e, k)
	}
	return nil
}

// found is where an identity is remembered.
type found struct {
	gen    *window.Generation // nil: it is not
	digest hapax.Digest
	cold   bool // in a cold file, and not in the table
}

// findEntry looks an entry's identity up, whose claim if there is one counts for
// nothing.
func (a *admission) findEntry(e *Entry) (found, error) {
	k := window.KeyOf(e.Fingerprint)
	p, was := a.l.hot.table.Find(k)
	if was == window.Claimed {
		return found{}, nil
	}
	return a.find(k, p, was)
}

// find looks an identity up that stands in the table under a number, 0 if it does
// not, and is not claimed.
func (a *admission) find(k window.Key, p window.Place, was uint8) (f found, err error) {
	l := a.l
	if l.stripes.of(k).live[was] {
		return found{gen: l.gens.ByNumber(was), digest: l.hot.digest(k, p)}, nil
	}
	gen, d, ok, err := l.cold.find(k)
	if err != nil || !ok {
		return found{}, err
	}
	return found{gen, d, true}, nil
}

// known tells whether the entry's identity is remembered.
func (a *admission) known(e *Entry) bool {
	f, _ := a.findEntry(e) // an error comes again when it is admitted
	return f.gen != nil
}

// again is what a duplicate does that was one when its position was first met: if
// its identity is remembered its window runs anew, where that lets nothing else go.
func (a *admission) again(e *Entry, k window.Key) error {
	if w := a.l.o.Window; w.Kind != hapax.Renewed || w.EventTime || w.Count+w.Bytes != 0 {
		return nil
	}
	p, was := a.l.hot.table.Find(k)
	if was == window.Claimed { // by a claim that ran out
		return nil
	}
	f, err := a.find(k, p, was)
	if err != nil || f.gen == nil || differ(f.digest, e.Digest) {
		return err
	}
	return a.sighted(e, k, f)
}

// admitEntry gives the verdict on one entry, remembers it if it is fresh and
// adds it to the frame. It must hold mu and all stripes, after turn.
func (a *admission) admitEntry(e *Entry, k window.Key, s window.Spot) error {
	l := a.l
	if l.o.Window.EventTime && l.gens.Late(a.event(e)) {
		e.Verdict = hapax.Late
		l.stats.late.Add(1)
		return nil
	}
	p, was := l.hot.table.FindAt(k, s)
	if was == window.Claimed {
		if held, ok := l.claims.Get(e.Fingerprint, a.now); ok {
			a.claimed(e, held)
			return nil
		}
		l.claims.Drop(e.Fingerprint)
		return a.enter(e, k)
	}
	f, err := a.find(k, p, was)
	switch {
	case err != nil:
		return err
	case f.gen == nil:
		return a.enter(e, k)
	}
	a.copyOf(e, f)
	return a.sighted(e, k, f)
}

// enter remembers an identity that is not live. It is looked up again: the next
// generation, if it takes one, ends others and may end a growth.
func (a *admission) enter(e *Entry, k window.Key) error {
	l := a.l
	gen, err := a.generationOf(e)
	if err != nil {
		return err
	}
	p, was := l.hot.table.Find(k)
	if was != 0 {
		l.hot.table.Mark(k, p, gen.Number)
	} else if p, err = l.hot.insert(k, l.hot.table.Spot(k), gen.Number); err != nil {
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
		if l.o.Window.Time == 0 { // else turns do, slice by slice
			l.ended(l.gens.Advance(a.now), false)
		}
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

// copyOf is the verdict on a copy of an identity that is remembered.
func (a *admission) copyOf(e *Entry, f found) {
	l := a.l
	if a.judge(e, f.digest); e.Verdict != hapax.Duplicate {
		return
	}
	l.stats.age(a.now - f.gen.Start)
	if tellsCopies(l) {
		l.frame.copied(f.gen, e)
	}
}

// tellsCopies tells whether copies go to the log.
func tellsCopies(l *Ledger) bool { return l.o.Details && l.journal != nil && !l.terse }

// judge tells a copy from a conflict by the digest that is kept of the first.
func (a *admission) judge(e *Entry, d hapax.Digest) {
	if differ(d, e.Digest) {
		e.Verdict = hapax.Conflict
		a.l.stats.conflicts.Add(1)
		return
	}
	e.Verdict = hapax.Duplicate
	a.l.stats.duplicates.Add(1)
}

// sighted makes the window of an identity run anew by a duplicate, if it is of the
// kind that is renewed.
func (a *admission) sighted(e *Entry, k window.Key, f found) error {
	if e.Verdict != hapax.Duplicate || a.l.o.Window.Kind != hapax.Renewed {
		return nil
	}
	gen, err := a.generationOf(e)
	if err != nil {
		return err
	}
	if f.cold {
		return a.rewarm(e, k, f, gen)
	}
	a.renew(e, k, f.gen, gen)
	return nil
}

// renew makes the window of an identity run anew. Its bytes came when it did.
func (a *admission) renew(e *Entry, k window.Key, first, gen *window.Generation) {
	l, w := a.l, a.l.o.Window
	if !l.gens.Later(gen, first) {
		if l.hot.recency == nil && (!w.EventTime || w.Count+w.Bytes == 0) {
			return
		}
		gen = first // an older event is a sight all the same
	}
	p, _ := l.hot.table.Find(k)
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
func (a *admission) rewarm(e *Entry, k window.Key, f found, gen *window.Generation) (err error) {
	l := a.l
	p, was := l.hot.table.Find(k)
	if was != 0 { // from before it was cold
		l.hot.table.Mark(k, p, gen.Number)
	} else if p, err = l.hot.insert(k, l.hot.table.Spot(k), gen.Number); err != nil {
		return err
	}
	l.hot.setSide(k, p, e.Fingerprint, f.digest)
	l.gens.Remove(f.gen, 1, 0)
	l.cold.live--
	l.hot.live.Add(1)
	l.frame.renewed(gen, e, f.digest)
	a.count(gen, 1, 0)
	return nil
}
