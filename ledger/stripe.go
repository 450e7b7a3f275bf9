package ledger

import (
	"sync"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/window"
)

const (
	stripes = 16
	// lineDebt is how many lines a sweep passes for each identity admitted: it
	// ends before the table has filled up by another few percent.
	lineDebt = 16
	// payment is the debt in lines at which a caller sweeps.
	payment = 512
)

// stripe is the lock of sixteen shards, and what Admit needs under it.
type stripe struct {
	mu     sync.Mutex
	number uint8 // the current generation's; 0: take mu first
	closed bool
	live   window.Live

	fresh      int64 // counted since the last settle
	duplicates int64
	ages       [256]uint32 // duplicates by the number of the first copy's generation

	_ [64]byte // its own cache lines
}

func stripeOf(shard uint8) int { return int(shard >> 4) }

func (l *Ledger) stripe(k window.Key) *stripe { return &l.stripes[stripeOf(k.Shard())] }

// lockAll takes all stripes, in order.
func (l *Ledger) lockAll() {
	for i := range l.stripes {
		l.stripes[i].mu.Lock()
	}
}

func (l *Ledger) unlockAll() {
	for i := range l.stripes {
		l.stripes[i].mu.Unlock()
	}
}

// settle brings what the stripes counted to the generations. It must hold mu.
func (l *Ledger) settle() {
	for i := range l.stripes {
		st := &l.stripes[i]
		st.mu.Lock()
		fresh := st.fresh
		l.stats.fresh.Add(st.fresh)
		l.stats.duplicates.Add(st.duplicates)
		st.fresh, st.duplicates = 0, 0
		st.mu.Unlock()
		if fresh > 0 {
			l.live.Add(fresh)
			l.ended(l.gens.Add(l.current, fresh, 0), false)
		}
	}
}

// admit gives the verdict on one entry under the stripe's lock. A zero verdict
// means that it takes mu to tell.
func (st *stripe) admit(t *window.Table, e *Entry, k window.Key, s window.Spot, digests bool) error {
	p, was, err := t.AdmitAt(k, s, st.number, &st.live)
	switch {
	case err != nil:
		e.Verdict = 0
		return err
	case was == 0:
		e.Verdict = hapax.Fresh
		st.fresh++
		if digests {
			t.SetSide(k, p, uint64(e.Digest))
		}
	case was == window.Claimed:
		e.Verdict = 0
	case digests && differ(hapax.Digest(t.Side(k, p)), e.Digest):
		e.Verdict = hapax.Conflict
	default:
		e.Verdict = hapax.Duplicate
		st.duplicates++
		st.ages[was]++
	}
	return nil
}

// differ tells whether two digests are known and not the same.
func differ(a, b hapax.Digest) bool { return a != 0 && b != 0 && a != b }
