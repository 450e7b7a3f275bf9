package ledger

import (
	"math"
	"sync"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/window"
)

const (
	stripes = 16
	// calm is how many identities a stripe takes before mu is asked again. What
	// a caller has to sweep for those of all stripes is done in one go.
	calm = 128
	// hurried is calm while a sweep is on.
	hurried = 16
)

// stripe is the lock of sixteen shards, and what Admit needs under it.
type stripe struct {
	// What every entry writes, in one cache line: it travels between cores.
	mu         sync.Mutex
	left       int32 // identities it still takes; 0: take mu first
	number     uint8 // the current generation's
	fresh      int64 // counted since the last settle
	duplicates int64
	_          [32]byte

	live window.Live
	ages [256]uint32 // duplicates by the number of the first copy's generation
}

// lock is mu.Lock for who expects to have it in a moment: one entry's look-up is
// shorter than what Lock waits before it looks again.
func (st *stripe) lock() {
	for range 64 {
		if st.mu.TryLock() {
			return
		}
	}
	st.mu.Lock()
}

func stripeOf(shard uint8) uint8 { return shard >> 4 }

// stripeSet is all stripes of a ledger.
type stripeSet [stripes]stripe

func (s *stripeSet) ofShard(shard uint8) *stripe { return &s[stripeOf(shard)] }

func (s *stripeSet) of(k window.Key) *stripe { return s.ofShard(k.Shard()) }

// lockAll takes all stripes, in order.
func (s *stripeSet) lockAll() {
	for i := range s {
		s[i].mu.Lock()
	}
}

func (s *stripeSet) unlockAll() {
	for i := range s {
		s[i].mu.Unlock()
	}
}

// close makes every Admit take the ledger's mu, and see there why it cannot go on.
func (s *stripeSet) close() {
	for i := range s {
		s[i].mu.Lock()
		s[i].left = 0
		s[i].mu.Unlock()
	}
}

// settle brings what the stripes counted to the generations. It must hold mu.
func (l *Ledger) settle() {
	l.stripes.lockAll()
	l.settleLocked()
	l.stripes.unlockAll()
}

// settleLocked is settle for who holds the stripes. It comes before the current
// generation changes.
func (l *Ledger) settleLocked() {
	for i := range l.stripes {
		st := &l.stripes[i]
		if st.fresh > 0 {
			l.hot.live.Add(st.fresh)
			l.stats.fresh.Add(st.fresh)
			if l.concurrent { // else the batch pays for all it brings
				l.hot.debt += st.fresh * l.hot.rate
			}
			l.ended(l.gens.Add(l.current, st.fresh, 0), false)
		}
		l.stats.duplicates.Add(st.duplicates)
		st.fresh, st.duplicates = 0, 0
	}
}

// deal shares out among the stripes what the current generation and the memory
// still take, and settles. What it takes more than a stripe to tell is none of
// theirs: what is in cold files or has receipts.
// It must hold mu and all stripes.
func (l *Ledger) deal() {
	if !l.unordered || l.current == nil {
		return
	}
	l.settleLocked()
	left := int64(0)
	if l.cold.none() && len(l.receipts.kept) == 0 && l.ready() == nil {
		left = l.share()
	}
	for i := range l.stripes {
		l.stripes[i].left = int32(left)
	}
}

// share is a stripe's part of what may still come. Where callers have a stripe
// alone it is small, so that they come to pay for it soon.
func (l *Ledger) share() int64 {
	room := min(l.gens.Room(l.current), min(l.hot.most(), l.hot.uncrowded())-l.hot.live.Load())
	if room <= 0 || !l.concurrent {
		return min(max(room, 0)/stripes, math.MaxInt32)
	}
	most := int64(calm)
	if _, ok := l.hot.table.Sweeping(); ok {
		most = hurried
	}
	return min(max(room/stripes, 1), most)
}

// admit gives the verdict on one entry under the stripe's lock. A zero verdict
// means that it takes mu to tell.
func (st *stripe) admit(t *window.Table, e *Entry, k window.Key, s window.Spot, digests bool) {
	e.Verdict = 0
	if st.left == 0 {
		return
	}
	p, was, err := t.AdmitAt(k, s, st.number, &st.live)
	switch {
	case err != nil || was == window.Claimed:
	case was == 0:
		e.Verdict = hapax.Fresh
		st.fresh++
		st.left--
		if digests {
			t.SetSide(k, p, uint64(e.Digest))
		}
	case digests && differ(hapax.Digest(t.Side(k, p)), e.Digest):
		e.Verdict = hapax.Conflict
	default:
		e.Verdict = hapax.Duplicate
		st.duplicates++
		st.ages[was]++
	}
}

// differ tells whether two digests are known and not the same.
func differ(a, b hapax.Digest) bool { return a != 0 && b != 0 && a != b }
