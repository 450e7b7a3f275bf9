package ledger

import (
	"fmt"

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
