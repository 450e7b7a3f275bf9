package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"

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
	return !r.Shadow && r.Digests() && (r.Duplicates != r.Conflicts || r.Duplicates.Fate == unique.Route)
}

// lookUp adds the first records of those ids that the window knows. It reads the
// disk, so no lock is to be held.
func (w *window) lookUp(into firsts, ids []hapax.Fingerprint) error {
	w.mu.Lock()
	l, err := w.ledger, w.err
	w.mu.Unlock()
	if err == nil {
		err = into.lookUp(l, ids)
	}
	if errors.Is(err, hapax.ErrClosed) {
		return errWindowOver // or it has other settings by now
	}
	return err
}

// lookUp adds the first records of those ids that a ledger knows.
func (f firsts) lookUp(l *ledger.Ledger, ids []hapax.Fingerprint) error {
	for _, id := range ids {
		seen, ok, err := l.Lookup(context.Background(), id)
		if err != nil {
			return fmt.Errorf("look up the first records of ids: %w", err)
		}
		if ok && seen.Verdict == hapax.Duplicate {
			f[id] = first{placeOf(seen.Position), seen.Digest}
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
