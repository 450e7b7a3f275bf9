package ledger

import (
	"errors"
	"fmt"

	"github.com/hapaxmq/hapax"
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
func (l *Ledger) pay(n int) error {
	own := int64(n) * l.rate
	l.debt += own
	if err := l.beginGrowth(); err != nil {
		return err
	}
	if _, ok := l.table.Sweeping(); !ok {
		l.debt = 0
		return nil
	}
	share := l.rate * hurried * stripes
	late := l.debt - min(16*share, int64(l.table.Lines())/4)
	for paid := int64(0); paid < min(late, max(share, own)); {
		lines := l.step()
		if lines == 0 {
			break
		}
		paid += int64(lines)
	}
	return nil
}

// step sweeps a block and returns its number of lines, 0 if no sweep is on. It
// must hold mu and no stripe.
func (l *Ledger) step() int {
	shard, ok := l.table.Sweeping()
	if !ok {
		return 0
	}
	st := l.stripeOf(shard)
	st.mu.Lock()
	defer st.mu.Unlock()
	return l.stepLocked()
}

// stepLocked is step for who holds the stripes.
func (l *Ledger) stepLocked() int {
	shard, _ := l.table.Sweeping()
	n := l.table.Step(&l.stripeOf(shard).live)
	l.debt = max(l.debt-int64(n), 0)
	if _, ok := l.table.Sweeping(); n > 0 && !ok {
		l.gens.Swept()
		l.lookAhead()
	}
	return n
}

// lookAhead tells AdmitOne where the table's lines are, after each sweep.
func (l *Ledger) lookAhead() {
	a := l.table.Ahead()
	l.ahead.Store(&a)
}

// finishSweep ends the sweep under way, if there is one. It must hold all locks.
func (l *Ledger) finishSweep() {
	for l.stepLocked() > 0 {
	}
}

// beginGrowth begins a growth if the table wants one, may have it and no other
// sweep is on.
func (l *Ledger) beginGrowth() error {
	capacity := float64(l.table.Capacity())
	live := float64(l.live.Load())
	if live < prefaultAt*capacity {
		return nil
	}
	if _, ok := l.table.Sweeping(); ok || !l.mayGrow() {
		return nil
	}
	if live < capacity || l.backed < l.grown().Lines() && live < patience*capacity {
		l.prefault()
		return nil
	}
	l.lockAll()
	defer l.unlockAll()
	return l.startGrowth()
}

// fit grows the table at once where n more identities would crowd it: it is small
// beside them. It must hold mu and no stripe.
func (l *Ledger) fit(n int) error {
	if l.live.Load()+int64(n) <= l.uncrowded() {
		return nil
	}
	l.lockAll()
	defer l.unlockAll()
	for l.live.Load()+int64(n) > l.uncrowded() {
		l.finishSweep()
		if !l.mayGrow() {
			return nil
		}
		if err := l.startGrowth(); err != nil {
			return err
		}
		l.finishSweep()
	}
	return nil
}

// uncrowded is how many identities the table takes as it is.
func (l *Ledger) uncrowded() int64 { return mostIn(l.table.Lines()) }

// grown is the layout after the table's next growth.
func (l *Ledger) grown() window.Layout { return l.table.Grown(l.mem.growth()) }

// mayGrow tells whether the table may grow: its memory allows it, and no keys are
// being copied to a cold file.
func (l *Ledger) mayGrow() bool { return !l.cold.frozen && l.grown().Lines() <= l.mem.limit }

// startGrowth begins a growth, which frees numbers as a scrub does. Callers owe it
// so much that it is over well before the table is crowded. It must hold all locks.
func (l *Ledger) startGrowth() error {
	room := max(l.uncrowded()-l.live.Load(), 1)
	l.rate = min(max(2*int64(l.table.Lines())/room, leastRate), mostRate)
	if err := l.table.BeginGrowth(l.grown()); err != nil {
		return fmt.Errorf("grow table: %w", err)
	}
	l.gens.Sweep()
	l.nudge()
	return nil
}

// prefault has the memory of the next growth made ready.
func (l *Ledger) prefault() {
	if n := l.grown().Lines(); l.prefaulted < n {
		l.prefaulted = n
		l.nudge()
	}
}

// wantScrub begins a scrub when generation numbers get scarce. It must hold all
// locks.
func (l *Ledger) wantScrub() {
	if l.gens.Free() > scrubAt || l.cold.frozen {
		return
	}
	if _, ok := l.table.Sweeping(); !ok {
		l.beginScrub()
		l.nudge()
	}
}

// beginScrub begins a scrub. It must hold all locks.
func (l *Ledger) beginScrub() {
	l.rate = leastRate
	l.table.BeginScrub()
	l.gens.Sweep()
}

// growNow ends the sweep under way and grows the table at once: a neighbourhood
// is crowded. It must hold all locks.
func (l *Ledger) growNow() error {
	l.finishSweep()
	if !l.mayGrow() {
		return l.full()
	}
	if err := l.startGrowth(); err != nil {
		return err
	}
	l.finishSweep()
	return nil
}

// makeRoom sees to it that n identities fit the budgets: by moving the oldest to
// a cold file, or by letting them go if that is allowed. It must hold mu, which
// it lets go of while it waits, and no stripe.
func (l *Ledger) makeRoom(n int) error {
	if l.journal != nil && l.live.Load()+int64(n) > int64(chillAt*float64(l.most())) {
		l.wantChill()
	}
	for l.live.Load()+int64(n) > l.most() {
		if l.cold.wanted {
			l.cold.done.Wait()
			if err := l.ready(); err != nil {
				return err
			}
			continue
		}
		if !l.o.Evict {
			return l.full()
		}
		if err := l.evict(); err != nil {
			return err
		}
	}
	return nil
}

// makeRoomFor is makeRoom for the entries that are not known yet, who alone need
// any. It asks the cold files about all of them.
func (l *Ledger) makeRoomFor(entries []Entry) error {
	if err := l.askCold(entries); err != nil {
		return err
	}
	if l.live.Load()+int64(len(entries)) <= int64(chillAt*float64(l.most())) && l.o.MaxDisk == 0 {
		return nil
	}
	fresh := 0
	l.lockAll()
	for i := range entries {
		if !l.known(window.KeyOf(entries[i].Fingerprint)) {
			fresh++
		}
	}
	l.unlockAll()
	if fresh == 0 {
		return nil
	}
	if err := l.makeDiskRoom(24 * int64(fresh)); err != nil {
		return err
	}
	return l.makeRoom(fresh)
}

// makeDiskRoom keeps the files within their budget while frames of so many bytes
// come, and a lap over all producers, without which the log cannot get shorter.
func (l *Ledger) makeDiskRoom(frames int64) error {
	if l.o.MaxDisk == 0 || l.journal == nil {
		return nil
	}
	const margin = 64 << 10 // frames' headers, snapshots, a seal
	most := l.o.MaxDisk - frames - l.sequences.lapBytes() - margin
	if l.journal.size()+l.cold.size() > most {
		if err := errors.Join(l.dropLogs(), l.cold.clean(l.gens)); err != nil {
			return l.fail(err)
		}
	}
	for l.journal.size()+l.cold.size() > most {
		if !l.o.Evict || len(l.gens.List()) < 2 {
			return fmt.Errorf("%w: the files take %d bytes of the %d that MaxDisk allows; raise it, shorten the window, or set Evict or Sequences.Idle",
				hapax.ErrFull, l.journal.size()+l.cold.size(), l.o.MaxDisk)
		}
		if err := l.evict(); err != nil {
			return err
		}
		if err := errors.Join(l.dropLogs(), l.cold.clean(l.gens)); err != nil {
			return l.fail(err)
		}
	}
	return nil
}

// most is how many identities the table may take within its budget.
func (l *Ledger) most() int64 { return l.mem.most.Load() }

func (l *Ledger) full() error {
	return fmt.Errorf("%w: %d identities are live, and MaxMemory of %d bytes holds no more; raise it, shorten the window, or set Evict", hapax.ErrFull, l.live.Load(), l.o.MaxMemory)
}

// evict lets the oldest generation go before its time. Where it was cold, that
// makes no room in the table: once its file is empty, the filters have some for
// the next generations that are to move.
func (l *Ledger) evict() error {
	gen := l.gens.Evict()
	if gen == nil {
		return l.full()
	}
	l.ended([]*window.Generation{gen}, true)
	l.o.Logger.Warn("identities left before their window ended", "dir", l.dir, "count", gen.Count)
	l.publish()
	if gen.Number != 0 {
		return nil
	}
	if err := l.cold.clean(l.gens); err != nil {
		return l.fail(err)
	}
	l.wantChill()
	return nil
}
