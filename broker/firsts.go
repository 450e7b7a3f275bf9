package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/ledger"
)

// first is the record that had an id first.
type first struct {
	unique.Place
	digest hapax.Digest
}

// nowhere is the place of a record that is not known any more.
func nowhere() unique.Place { return unique.Place{Offset: -1} }

// firsts are such records by their ids.
type firsts map[hapax.Fingerprint]first

// add adds the first record of an id.
func (f firsts) add(e *ledger.Entry, partition int32) {
	if _, ok := f[e.Fingerprint]; !ok {
		f[e.Fingerprint] = first{unique.Place{Partition: partition, Offset: e.Offset}, e.Digest}
	}
}

// judge gives the verdict on an entry that is fresh but for these, and its first
// record if it is one of them.
func (f firsts) judge(e *ledger.Entry) (was first, again bool) {
	was, again = f[e.Fingerprint]
	switch {
	case !again:
	case was.digest != e.Digest:
		e.Verdict = hapax.Conflict
	default:
		e.Verdict = hapax.Duplicate
	}
	return was, again
}

// namesFirsts tells whether records may get a header that names the first one.
func namesFirsts(r *unique.Rules) bool {
	return !r.Shadow && (r.Duplicates.Fate == unique.Mark || len(r.Routes()) > 0)
}

// comparesFirsts tells whether it matters, but for counting, that a record in
// conflict may say the same as the first one.
func comparesFirsts(r *unique.Rules) bool {
	return !r.Shadow && r.Digests() &&
		(r.Duplicates != r.Conflicts || r.Duplicates.Fate == unique.Route || r.Window.Kind == hapax.Renewed)
}

// finder finds the first records of ids in a window's ledger.
type finder struct {
	mu      sync.Mutex
	of      *ledger.Ledger
	origins *ledger.Origins
}

// find adds the first records of those ids that the ledger knows.
func (f *finder) find(l *ledger.Ledger, into firsts, ids []hapax.Fingerprint) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of != l {
		f.of, f.origins = l, ledger.NewOrigins(l)
	}
	found := make([]ledger.Origin, len(ids))
	for i := range ids {
		found[i].Fingerprint = ids[i]
	}
	if err := f.origins.Find(nil, found); err != nil {
		return err
	}
	for i := range found {
		if o := &found[i]; !o.First.IsZero() {
			into[o.Fingerprint] = first{placeOf(o.Position), o.Digest}
		}
	}
	return nil
}

// lookUp adds the first records of those ids that the window knows. It reads the
// disk, so no lock is to be held.
func (w *window) lookUp(into firsts, ids []hapax.Fingerprint, kind hapax.WindowKind) error {
	if len(ids) == 0 {
		return nil
	}
	w.mu.Lock()
	l, err := w.ledger, w.err
	w.mu.Unlock()
	if err == nil {
		err = w.finder.find(l, into, ids)
	}
	if err == nil && kind == hapax.Renewed {
		err = into.lookUp(l)
	}
	switch {
	case errors.Is(err, hapax.ErrClosed):
		return errWindowOver // or it has other settings by now
	case err != nil:
		return fmt.Errorf("look up the first records of ids: %w", err)
	}
	return nil
}

// lookUp gives places to those that have none yet, of ids that were seen again in a
// window that renews them: each is looked for in all that the ledger's log has.
func (f firsts) lookUp(l *ledger.Ledger) error {
	for id, was := range f {
		if was.Offset >= 0 {
			continue
		}
		seen, ok, err := l.Lookup(context.Background(), id)
		if err != nil {
			return err
		}
		if ok && seen.Verdict == hapax.Duplicate {
			f[id] = first{placeOf(seen.Position), was.digest}
		}
	}
	return nil
}

// placeOf is where a record is that a ledger has the position of.
func placeOf(p hapax.Position) unique.Place {
	n, err := strconv.ParseInt(p.Source, 10, 32)
	if err != nil {
		return nowhere()
	}
	return unique.Place{Partition: int32(n), Offset: p.Offset}
}
