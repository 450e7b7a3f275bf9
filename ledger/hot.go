package ledger

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

const (
	// scrubAt is how few free generation numbers make a scrub begin.
	scrubAt = 64
	// hardest is the load in identities a place up to which a table that may
	// not grow any more takes new ones.
	hardest = 0.95
	// leastRate is how many lines callers owe a sweep for each identity admitted,
	// at least, and mostRate at most: a deal of hurried shares makes them owe some
	// hundred microseconds' work.
	leastRate = 8
	mostRate  = 64
	// prefaultAt is the part of its capacity at which a table's next growth
	// gets its memory, so that no caller waits for the system to clear it.
	prefaultAt = 0.997
	// patience is the part of its capacity up to which a table waits for that.
	patience = 1.025
)

// hot is the identities in memory: the table, and the sweeps that make it larger
// or clear it of what has expired, a block at a time. Callers pay for what they
// admit; maintain is ahead of them if it can be. All of it is called under the
// ledger's mu, but for what table does under a stripe.
type hot struct {
	table   *window.Table
	mem     *memory
	gens    *window.Generations // the ledger's
	stripes *stripeSet          // the ledger's
	nudge   func()              // wakes maintain
	o       *Options            // the ledger's
	recency *window.Recency     // of an exact count window, else nil

	ahead      atomic.Pointer[window.Ahead] // where the lines are, for who holds no lock
	live       counter                      // identities in generations of the table that are live
	rate       int64                        // lines that callers owe a sweep for each identity admitted
	debt       int64                        // lines owed
	prefaulted int                          // lines that maintain is to get memory for
	backed     int                          // lines that have it
	frozen     bool                         // no sweep may begin: keys are being copied to a cold file
}

// newTable makes room for so many identities, as far as memory allows.
func (h *hot) newTable(expect int64) (err error) {
	most := int64(float64(h.mem.limit) * 3.2)
	h.table, err = window.NewTable(h.mem, int(min(expect, most)))
	return err
}

// pay begins a growth when the table is full, and sweeps lines that are owed
// where maintain, which does so in the background, has fallen behind; n more
// identities were admitted. It must hold mu and no stripe.
func (h *hot) pay(n int) error {
	own := int64(n) * h.rate
	h.debt += own
	if err := h.beginGrowth(); err != nil {
		return err
	}
	if _, ok := h.table.Sweeping(); !ok {
		h.debt = 0
		return nil
	}
	share := h.rate * hurried * stripes
	late := h.debt - min(16*share, int64(h.table.Lines())/4)
	for paid := int64(0); paid < min(late, max(share, own)); {
		lines := h.step()
		if lines == 0 {
			break
		}
		paid += int64(lines)
	}
	return nil
}

// step sweeps a block and returns its number of lines, 0 if no sweep is on. It
// must hold mu and no stripe.
func (h *hot) step() int {
	shard, ok := h.table.Sweeping()
	if !ok {
		return 0
	}
	st := h.stripes.ofShard(shard)
	st.mu.Lock()
	defer st.mu.Unlock()
	return h.stepLocked()
}

// stepLocked is step for who holds the stripes.
func (h *hot) stepLocked() int {
	shard, _ := h.table.Sweeping()
	n := h.table.Step(&h.stripes.ofShard(shard).live)
	h.debt = max(h.debt-int64(n), 0)
	if _, ok := h.table.Sweeping(); n > 0 && !ok {
		h.gens.Swept()
		h.lookAhead()
	}
	return n
}

// lookAhead tells AdmitOne where the table's lines are, after each sweep.
func (h *hot) lookAhead() {
	a := h.table.Ahead()
	h.ahead.Store(&a)
}

// finish ends the sweep under way, if there is one. It must hold all locks.
func (h *hot) finish() {
	for h.stepLocked() > 0 {
	}
}

// beginGrowth begins a growth if the table wants one, may have it and no other
// sweep is on.
func (h *hot) beginGrowth() error {
	capacity := float64(h.table.Capacity())
	live := float64(h.live.Load())
	if live < prefaultAt*capacity {
		return nil
	}
	if _, ok := h.table.Sweeping(); ok || !h.mayGrow() {
		return nil
	}
	if live < capacity || h.backed < h.grown().Lines() && live < patience*capacity {
		h.prefault()
		return nil
	}
	h.stripes.lockAll()
	defer h.stripes.unlockAll()
	return h.startGrowth()
}

// fit grows the table at once where n more identities would crowd it: it is small
// beside them. It must hold mu and no stripe.
func (h *hot) fit(n int) error {
	if h.live.Load()+int64(n) <= h.uncrowded() {
		return nil
	}
	h.stripes.lockAll()
	defer h.stripes.unlockAll()
	for h.live.Load()+int64(n) > h.uncrowded() {
		h.finish()
		if !h.mayGrow() {
			return nil
		}
		if err := h.startGrowth(); err != nil {
			return err
		}
		h.finish()
	}
	return nil
}

// uncrowded is how many identities the table takes as it is.
func (h *hot) uncrowded() int64 { return mostIn(h.table.Lines()) }

// grown is the layout after the table's next growth.
func (h *hot) grown() window.Layout { return h.table.Grown(h.mem.growth()) }

// mayGrow tells whether the table may grow: its memory allows it, and no keys are
// being copied to a cold file.
func (h *hot) mayGrow() bool { return !h.frozen && h.grown().Lines() <= h.mem.limit }

// startGrowth begins a growth, which frees numbers as a scrub does. Callers owe it
// so much that it is over well before the table is crowded. It must hold all locks.
func (h *hot) startGrowth() error {
	room := max(h.uncrowded()-h.live.Load(), 1)
	h.rate = min(max(2*int64(h.table.Lines())/room, leastRate), mostRate)
	if err := h.table.BeginGrowth(h.grown()); err != nil {
		return fmt.Errorf("grow table: %w", err)
	}
	h.gens.Sweep()
	h.nudge()
	return nil
}

// prefault has the memory of the next growth made ready.
func (h *hot) prefault() {
	if n := h.grown().Lines(); h.prefaulted < n {
		h.prefaulted = n
		h.nudge()
	}
}

// wantScrub begins a scrub when generation numbers get scarce. It must hold all
// locks.
func (h *hot) wantScrub() {
	if h.gens.Free() > scrubAt || h.frozen {
		return
	}
	if _, ok := h.table.Sweeping(); !ok {
		h.beginScrub()
		h.nudge()
	}
}

// beginScrub begins a scrub. It must hold all locks.
func (h *hot) beginScrub() {
	h.rate = leastRate
	h.table.BeginScrub()
	h.gens.Sweep()
}

// growNow ends the sweep under way and grows the table at once: a neighbourhood
// is crowded. It must hold all locks.
func (h *hot) growNow() error {
	h.finish()
	if !h.mayGrow() {
		return h.full()
	}
	if err := h.startGrowth(); err != nil {
		return err
	}
	h.finish()
	return nil
}

// most is how many identities the table may take within its budget.
func (h *hot) most() int64 { return h.mem.most.Load() }

func (h *hot) full() error {
	return fmt.Errorf("%w: %d identities are live, and MaxMemory of %d bytes holds no more; raise it, shorten the window, or set Evict", hapax.ErrFull, h.live.Load(), h.o.MaxMemory)
}

// insert adds a key to the table, growing it at once if its neighbourhood is
// crowded.
func (h *hot) insert(k window.Key, s window.Spot, number uint8) (window.Place, error) {
	for {
		p, err := h.table.InsertAt(k, s, number, &h.stripes.of(k).live)
		if !errors.Is(err, window.ErrCrowded) {
			return p, err
		}
		if err := h.growNow(); err != nil {
			return p, err
		}
		s = h.table.Spot(k)
	}
}

// setSide keeps an identity's digest, or its place in the order, beside it.
func (h *hot) setSide(k window.Key, p window.Place, f hapax.Fingerprint, d hapax.Digest) {
	if !h.o.Digests {
		d = 0
	}
	if h.recency != nil {
		h.table.SetSide(k, p, uint64(h.recency.Push(f, d)))
		h.trim()
	} else if h.o.Digests {
		h.table.SetSide(k, p, uint64(d))
	}
}

// trim lets the oldest identity of an exact count window go when one more came
// than it holds.
func (h *hot) trim() {
	for int64(h.recency.Len()) > h.o.Window.Count {
		f, at, _ := h.recency.Oldest()
		h.recency.Remove(at)
		k := window.KeyOf(f)
		p, was := h.table.Find(k)
		if was == 0 || was == window.Claimed || h.recencyAt(k, p) != at {
			continue // it had left by another bound, and may have come anew
		}
		h.table.Mark(k, p, 0)
		if gen := h.gens.ByNumber(was); gen != nil {
			h.gens.Remove(gen, 1, 0)
			h.live.Add(-1)
		}
	}
}

// digest is the digest kept of an identity in the table, 0 if none.
func (h *hot) digest(k window.Key, p window.Place) hapax.Digest {
	if h.recency == nil {
		return hapax.Digest(h.table.Side(k, p))
	}
	return h.recency.Digest(h.recencyAt(k, p))
}

// recencyAt is the place of an identity in the table in the order of an exact
// count window.
func (h *hot) recencyAt(k window.Key, p window.Place) uint32 { return uint32(h.table.Side(k, p)) }

// coldest is the oldest generations in the table that hold half of what it
// holds, and how many identities that is. The newest and the current one, which take
// what comes, are not among them.
func (h *hot) coldest(current *window.Generation) (gens []*window.Generation, keys int64) {
	if !h.o.chills() {
		return nil, 0
	}
	list := h.gens.List()
	for _, gen := range list[:max(len(list)-1, 0)] {
		if gen.Number == 0 || gen.Count == 0 {
			continue
		}
		if gen == current || len(gens) == cold.MaxGenerations || keys > 0 && keys+gen.Count > h.live.Load()*5/8 {
			break
		}
		gens, keys = append(gens, gen), keys+gen.Count
	}
	return gens, keys
}

// unclaim takes the mark of a claim that is over out of the table.
func (h *hot) unclaim(f hapax.Fingerprint) {
	k := window.KeyOf(f)
	st := h.stripes.of(k)
	st.mu.Lock()
	defer st.mu.Unlock()
	if p, was := h.table.Find(k); was == window.Claimed {
		h.table.Mark(k, p, 0)
	}
}
