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
		if l.journal != nil {
			l.wantChill() // again, if it was garbage that was cleared away
		}
		if l.cold.wanted {
			if err := awaitRoom(l); err != nil {
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
	if n := int64(len(entries)); l.hot.live.Load()+n <= l.hot.most() && (diskRoom{l}).ample(n) {
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
	if err := (diskRoom{l}).make(fresh, len(entries)-fresh); err != nil || fresh == 0 {
		return err
	}
	return l.makeRoom(fresh)
}

// diskRoom keeps the files within MaxDisk.
type diskRoom struct{ l *Ledger }

// awaitRoom returns when the background has made the room that was wanted. It lets go
// of mu while it waits.
func awaitRoom(l *Ledger) error {
	l.cold.done.Wait()
	return l.ready()
}

// ample tells whether the disk has so much room that what comes need not be looked at
// first: none of it would be refused, nor anything left out.
func (r diskRoom) ample(n int64) bool {
	l := r.l
	if l.o.MaxDisk == 0 || l.journal == nil {
		return true
	}
	tidying{l}.want()
	if live := l.hot.live.Load() + l.cold.live; l.disk() > l.o.MaxDisk/2 || (live+n)*l.o.identityBytes() > l.o.MaxDisk/2 {
		return false
	}
	l.terse = false
	return true
}

// make keeps the files within their budget while fresh identities come, and
// copies. Where there is no room for what Details tell of these, that is not logged;
// they are refused only where they renew windows, for which there is always room unless
// MaxDisk was lowered, or identities may not move to cold files.
func (r diskRoom) make(fresh, copies int) error {
	l := r.l
	if l.o.MaxDisk == 0 || l.journal == nil {
		return nil
	}
	renewed := int64(0)
	if l.o.Window.Kind == hapax.Renewed {
		renewed = int64(copies)
	}
	frames := frameBytes * (int64(fresh) + renewed)
	tidying{l}.want()
	for l.cold.wanted && l.disk()+frames > l.o.MaxDisk-l.o.MaxDisk/4 && renewed > 0 { // they may need it all
		if err := awaitRoom(l); err != nil {
			return err
		}
	}
	if fresh > 0 {
		if err := r.forRenewals(int64(fresh)); err != nil {
			return err
		}
	}
	err := r.forFrames(frames, l.o.Evict && fresh > 0)
	if fresh == 0 && errors.Is(err, hapax.ErrFull) && (renewed == 0 || l.disk()+frames <= l.o.MaxDisk+l.o.MaxDisk/mergePart) {
		err = nil
	}
	l.terse = l.disk()+frames+16*int64(copies) > l.o.MaxDisk-l.o.MaxDisk/mergePart
	return err
}

// frameBytes is what an identity takes in a frame, or a little more.
const frameBytes = 24

// forRenewals sees to it that all identities of a window that is renewed could be
// seen again, which is never refused, when so many more have come.
func (r diskRoom) forRenewals(fresh int64) error {
	l := r.l
	if l.o.Window.Kind != hapax.Renewed {
		return nil
	}
	most := (l.o.MaxDisk - l.o.MaxDisk/4) / l.o.identityBytes()
	for live := l.hot.live.Load() + l.cold.live; live+fresh > most; live = l.hot.live.Load() + l.cold.live {
		if !l.o.Evict || len(l.gens.List()) < 2 {
			return fmt.Errorf("%w: %d identities are live, and may take %d bytes each as they are seen again, of the %d that MaxDisk allows; %s",
				hapax.ErrFull, live, l.o.identityBytes(), l.o.MaxDisk, l.o.relief())
		}
		if err := l.evict(); err != nil {
			return err
		}
	}
	return nil
}

// forFrames keeps the files within their budget while frames of so many bytes come,
// and a lap over all producers, without which the log cannot get shorter.
func (r diskRoom) forFrames(frames int64, evict bool) error {
	l := r.l
	if l.o.MaxDisk == 0 || l.journal == nil {
		return nil
	}
	const margin = 64 << 10 // frames' headers, snapshots, a seal
	most := l.o.MaxDisk - frames - l.sequences.lapBytes() - margin
	for tried := false; l.disk() > most; {
		if l.cold.wanted {
			if err := awaitRoom(l); err != nil {
				return err
			}
			continue
		}
		if err := errors.Join(l.sequences.dropLogs(l.journal), l.cold.clean()); err != nil {
			return l.fail(err)
		}
		held := l.cold.held()
		switch {
		case tidying{l}.want():
		case held > 0 && l.disk()-held <= most: // nothing has to leave for it
			if err := r.awaitReaders(held); err != nil {
				return err
			}
		case !tried: // what was dropped may be enough
			tried = true
		case !evict || len(l.gens.List()) < 2:
			return fmt.Errorf("%w: the files take %d bytes of the %d that MaxDisk allows; %s; Sequences.Idle lets producers go",
				hapax.ErrFull, l.disk(), l.o.MaxDisk, l.o.relief())
		default:
			if err := l.evict(); err != nil {
				return err
			}
			tried = false
		}
	}
	return nil
}

// awaitReaders returns when a reader has ended of those who hold so many bytes of files
// that are to be deleted. It does not wait for All, which may take as long as it wants, and
// whose caller may be who asks.
func (r diskRoom) awaitReaders(held int64) error {
	if r.l.cold.surveys > 0 {
		return fmt.Errorf("%w: %d bytes of the %d that MaxDisk allows are of files that All still reads: end it, or raise MaxDisk",
			hapax.ErrFull, held, r.l.o.MaxDisk)
	}
	return awaitRoom(r.l)
}

// relief is what helps where a budget is used up.
func (o *Options) relief() string {
	if o.Evict || o.Window.Kind == hapax.Tumbling && o.Window.Count+o.Window.Bytes != 0 { // which ends for all at once
		return "raise it, or shorten the window"
	}
	return "raise it, shorten the window, or set Evict"
}

// disk is the bytes of the ledger's files, of the cold file that is being made and of
// those that are being deleted.
func (l *Ledger) disk() int64 {
	return l.journal.size() + l.journal.leaving.Load() + l.cold.size() + l.cold.coming + l.cold.leaving.Load()
}

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
