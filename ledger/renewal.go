package ledger

import (
	"errors"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

// renewal tells a merge of a window that is renewed which of its files' identities
// were seen again since: they are in the table or a younger file, and what the merge
// makes does without them. The zero value knows of none.
type renewal struct {
	l       *Ledger
	younger []*cold.File    // than those that are merged, the youngest first
	live    map[uint64]bool // generations, by their IDs
	hits    bool            // some were in the table
	err     error           // of a younger file
}

// newRenewal looks at what is younger than a file. It must hold mu. No file goes
// before the merge is over.
func newRenewal(l *Ledger, than *cold.File) (r renewal) {
	if l.o.Window.Kind != hapax.Renewed {
		return r
	}
	r.l, r.live = l, make(map[uint64]bool)
	for i := len(l.cold.files) - 1; l.cold.files[i] != than; i-- {
		r.younger = append(r.younger, l.cold.files[i])
	}
	for _, gen := range l.gens.List() {
		r.live[gen.ID] = true
	}
	return r
}

// has tells whether an identity was seen again. What was admitted by a step that has
// not ended is there too: see durable.
func (r *renewal) has(k window.Key) bool {
	if r.l == nil || r.err != nil {
		return false
	}
	st := r.l.stripes.of(k)
	st.mu.Lock()
	_, was := r.l.hot.table.Find(k)
	hot := was != window.Claimed && st.live[was]
	st.mu.Unlock()
	if hot {
		r.hits = true
		return true
	}
	for _, f := range r.younger {
		e, ok, err := f.Find(k)
		if err != nil {
			r.err = err
			return false
		}
		// Where the younger one has left since, the older has too.
		if ok && r.live[f.Generations[e.Generation].ID] {
			return true
		}
	}
	return false
}

// durable returns once the log has on disk what the table told: the older sight must
// not go before the younger is there for good.
func (r *renewal) durable() error {
	if r.err != nil || !r.hits {
		return r.err
	}
	return durableNow(r.l)
}

// durableNow makes durable what has been admitted by now, of which the end of a step
// may have yet to come.
func durableNow(l *Ledger) error {
	l.mu.Lock() // nobody is in a step
	err, end := l.ready(), l.journal.End()
	l.mu.Unlock()
	return errors.Join(err, l.journal.Sync(end))
}
