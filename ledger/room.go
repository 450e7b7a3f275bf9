package ledger

import (
	"errors"
	"fmt"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/window"
)

// makeRoom sees to it that n identities fit the budgets: by moving the oldest to
// a cold file, or by letting them go if that is allowed. It must hold mu, which
// it lets go of while it waits, and no stripe.
func (l *Ledger) makeRoom(n int) error {
	if l.journal != nil && l.hot.live.Load()+int64(n) > int64(chillAt*float64(l.hot.most())) {
		l.wantChill()
	}
	for l.hot.live.Load()+int64(n) > l.hot.most() {
		if l.cold.wanted {
			l.cold.done.Wait()
			if err := l.ready(); err != nil {
				return err
			}
			continue
		}
		if !l.o.Evict {
			return l.hot.full()
		}
		if err := l.evict(); err != nil {
			return err
		}
	}
	return nil
}

// makeRoomFor is makeRoom for the entries that are not known yet, nor their
// positions, who alone need any. It asks the cold files about all of them.
func (a *admission) makeRoomFor(entries []Entry) error {
	l := a.l
	if err := a.askCold(entries); err != nil {
		return err
	}
	if l.hot.live.Load()+int64(len(entries)) <= l.hot.most() && l.o.MaxDisk == 0 {
		return l.makeRoom(len(entries))
	}
	fresh := 0
	l.stripes.lockAll()
	for i := range entries {
		if a.src != nil {
			if a.src.met(&entries[i]) != 0 {
				continue
			}
		}
		if !a.known(&entries[i]) {
			fresh++
		}
	}
	l.stripes.unlockAll()
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
	if l.disk() > most {
		if err := errors.Join(l.sequences.dropLogs(l.journal), l.cold.clean()); err != nil {
			return l.fail(err)
		}
	}
	for l.disk() > most {
		if !l.o.Evict || len(l.gens.List()) < 2 {
			return fmt.Errorf("%w: the files take %d bytes of the %d that MaxDisk allows; %s; Sequences.Idle lets producers go",
				hapax.ErrFull, l.disk(), l.o.MaxDisk, l.o.relief())
		}
		if err := l.evict(); err != nil {
			return err
		}
		if err := errors.Join(l.sequences.dropLogs(l.journal), l.cold.clean()); err != nil {
			return l.fail(err)
		}
	}
	return nil
}

// relief is what helps where a budget is used up.
func (o *Options) relief() string {
	if o.Evict || o.Window.Kind == hapax.Tumbling && o.Window.Count+o.Window.Bytes != 0 { // which ends for all at once
		return "raise it, or shorten the window"
	}
	return "raise it, shorten the window, or set Evict"
}

// disk is the bytes of the ledger's files.
func (l *Ledger) disk() int64 { return l.journal.size() + l.cold.size() }

// evict lets the oldest generation go before its time. Where it was cold, that
// makes no room in the table: once its file is empty, the filters have some for
// the next generations that are to move.
func (l *Ledger) evict() error {
	gen := l.gens.Evict()
	if gen == nil {
		return l.hot.full()
	}
	l.ended([]*window.Generation{gen}, true)
	if err := l.evictions.log(l.journal, gen); err != nil {
		return l.fail(err)
	}
	l.evictions.untold += gen.Count
	l.evictions.tellIfDue(l.o.Logger, l.dir, l.now())
	l.publish()
	if gen.Number != 0 {
		return nil
	}
	if err := l.cold.clean(); err != nil {
		return l.fail(err)
	}
	l.wantChill()
	return nil
}
