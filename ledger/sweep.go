package ledger

import (
	"fmt"
	"sync/atomic"

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

// sweptTable is a table with the sweeps that make it larger or clear it of what has
// expired, a block at a time. Callers pay for what they admit; maintain is ahead of
// them if it can be.
type sweptTable struct {
	table   *window.Table
	mem     *memory
	gens    *window.Generations // the ledger's
	stripes *stripeSet          // the ledger's
	nudge   func()              // wakes maintain

	ahead      atomic.Pointer[window.Ahead] // where the lines are, for who holds no lock
	live       counter                      // identities in generations of the table that are live
	rate       int64                        // lines that callers owe a sweep for each identity admitted
	debt       int64                        // lines owed
	prefaulted int                          // lines that maintain is to get memory for
	backed     int                          // lines that have it
	frozen     bool                         // no sweep may begin: keys are being copied to a cold file
}

// newTable makes room for so many identities, as far as memory allows.
func (t *sweptTable) newTable(expect int64) (err error) {
	most := int64(float64(t.mem.limit) * 3.2)
	t.table, err = window.NewTable(t.mem, t.mem.beside, int(min(expect, most)), t.mem.limit)
	return err
}

// pay begins a growth when the table is full, and sweeps lines that are owed
// where maintain, which does so in the background, has fallen behind; n more
// identities were admitted. It must hold mu and no stripe.
func (t *sweptTable) pay(n int) error {
	own := int64(n) * t.rate
	t.debt += own
	if err := t.beginGrowth(); err != nil {
		return err
	}
	if _, ok := t.table.Sweeping(); !ok {
		t.debt = 0
		return nil
	}
	share := t.rate * hurried * stripes
	late := t.debt - min(16*share, int64(t.table.Lines())/4)
	for paid := int64(0); paid < min(late, max(share, own)); {
		lines := t.step()
		if lines == 0 {
			break
		}
		paid += int64(lines)
	}
	return nil
}

// step sweeps a block and returns its number of lines, 0 if no sweep is on. It
// must hold mu and no stripe.
func (t *sweptTable) step() int {
	shard, ok := t.table.Sweeping()
	if !ok {
		return 0
	}
	st := t.stripes.ofShard(shard)
	st.mu.Lock()
	defer st.mu.Unlock()
	return t.stepLocked()
}

// stepLocked is step for who holds the stripes.
func (t *sweptTable) stepLocked() int {
	shard, _ := t.table.Sweeping()
	n := t.table.Step(&t.stripes.ofShard(shard).live)
	t.debt = max(t.debt-int64(n), 0)
	if _, ok := t.table.Sweeping(); n > 0 && !ok {
		t.gens.Swept()
		t.lookAhead()
	}
	return n
}

// lookAhead tells AdmitOne where the table's lines are, after each sweep.
func (t *sweptTable) lookAhead() {
	a := t.table.Ahead()
	t.ahead.Store(&a)
}

// finish ends the sweep under way, if there is one. It must hold all locks.
func (t *sweptTable) finish() {
	for t.stepLocked() > 0 {
	}
}

// beginGrowth begins a growth if the table wants one, may have it and no other
// sweep is on.
func (t *sweptTable) beginGrowth() error {
	capacity := float64(t.table.Capacity())
	live := float64(t.live.Load())
	if live < prefaultAt*capacity {
		return nil
	}
	if _, ok := t.table.Sweeping(); ok || !t.mayGrow() {
		return nil
	}
	if live < capacity || t.backed < t.grown().Lines() && live < patience*capacity {
		t.prefault()
		return nil
	}
	t.stripes.lockAll()
	defer t.stripes.unlockAll()
	return t.startGrowth()
}

// fit grows the table at once where n more identities would crowd it: it is small
// beside them. It must hold mu and no stripe.
func (t *sweptTable) fit(n int) error {
	if t.live.Load()+int64(n) <= t.uncrowded() {
		return nil
	}
	t.stripes.lockAll()
	defer t.stripes.unlockAll()
	for t.live.Load()+int64(n) > t.uncrowded() {
		t.finish()
		if !t.mayGrow() {
			return nil
		}
		if err := t.startGrowth(); err != nil {
			return err
		}
		t.finish()
	}
	return nil
}

// uncrowded is how many identities the table takes as it is.
func (t *sweptTable) uncrowded() int64 { return mostIn(t.table.Lines()) }

// grown is the layout after the table's next growth.
func (t *sweptTable) grown() window.Layout { return t.table.Layout().Grown(t.mem.limit) }

// mayGrow tells whether the table may grow: its memory allows it, and no keys are
// being copied to a cold file.
func (t *sweptTable) mayGrow() bool { return !t.frozen && t.grown().Lines() <= t.mem.limit }

// startGrowth begins a growth. Callers owe it so much that it is over well before the
// table is crowded. It must hold all locks.
func (t *sweptTable) startGrowth() error {
	room := max(t.uncrowded()-t.live.Load(), 1)
	t.rate = min(max(2*int64(t.table.Lines())/room, leastRate), mostRate)
	if err := t.table.BeginGrowth(t.grown()); err != nil {
		return fmt.Errorf("grow table: %w", err)
	}
	t.nudge()
	return nil
}

// prefault has the memory of the next growth made ready.
func (t *sweptTable) prefault() {
	if n := t.grown().Lines(); t.prefaulted < n {
		t.prefaulted = n
		t.nudge()
	}
}

// wantScrub begins a scrub when generation numbers get scarce. It must hold all
// locks.
func (t *sweptTable) wantScrub() {
	if t.gens.Free() > scrubAt || t.frozen {
		return
	}
	if _, ok := t.table.Sweeping(); !ok {
		t.beginScrub()
		t.nudge()
	}
}

// beginScrub begins a scrub. It must hold all locks.
func (t *sweptTable) beginScrub() {
	t.rate = leastRate
	t.table.BeginScrub()
	t.gens.Sweep()
}

// growNow ends the sweep under way and grows the table at once, if it may: a
// neighbourhood is crowded. It must hold all locks.
func (t *sweptTable) growNow() (grew bool, err error) {
	t.finish()
	if !t.mayGrow() {
		return false, nil
	}
	if err := t.startGrowth(); err != nil {
		return false, err
	}
	t.finish()
	return true, nil
}
