package ledger

import (
	"errors"
	"math"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/window"
)

// turn moves time on, ends the generations that are over and makes the current
// one ready for what arrives now. It must hold mu.
func (l *Ledger) turn(now int64) error {
	l.stripes.lockAll()
	defer l.stripes.unlockAll()
	l.settleLocked()
	last := min(now, l.deadline.Load()) // no copy came later that was not counted
	if l.came != 0 {
		last = min(last, max(l.gens.Watermark(), l.came))
	}
	l.stats.countAges(l.stripes, l.gens, last, l.o.Window.Time)
	if l.timed {
		l.gens.Hold(now)
	}
	if !l.o.Window.EventTime {
		l.ended(l.gens.Advance(now), false)
		if !l.awaitsNext() {
			var err error
			if l.current, err = l.generation(0, 0); err != nil {
				return err
			}
		}
	}
	l.publishLocked()
	return nil
}

// countPast counts the copies of earlier steps by their age, once a second has passed: where no
// time bounds the window nothing else would before they seem older. It must hold mu.
func countPast(l *Ledger, now int64) {
	if l.o.Window.Time != 0 {
		return
	}
	if now-l.aged >= int64(time.Second) {
		l.stripes.lockAll()
		l.stats.countAges(l.stripes, l.gens, max(l.gens.Watermark(), l.came), l.o.Window.Time)
		l.stripes.unlockAll()
		l.aged = now
	}
	l.came = max(l.came, now)
}

// countRecent is countPast for stripes, which do not tell when copies came: maintain counts
// them within a second. It must hold mu.
func countRecent(l *Ledger) {
	if l.o.Window.Time != 0 {
		return
	}
	l.stripes.lockAll()
	l.stats.countAges(l.stripes, l.gens, l.now(), 0)
	l.stripes.unlockAll()
}

// awaitsNext tells whether a tumbling window, full or not, goes on until an
// identity comes that begins the next: that one is in the log, and so is then the
// end of those before it.
func (l *Ledger) awaitsNext() bool {
	w := l.o.Window
	return w.Kind == hapax.Tumbling && w.Count+w.Bytes != 0 && l.current != nil && l.gens.ByID(l.current.ID) == l.current
}

// turnIfDue is turn if the generations have something to do by now. It must
// hold mu.
func (l *Ledger) turnIfDue(now int64) error {
	if now < l.deadline.Load() && (l.current != nil && !window.Untouched(l.gens) || l.o.Window.EventTime) {
		return nil
	}
	return l.turn(now)
}

// generation is gens.At, with a sweep where it needs one. A tumbling window ends
// with the beginning of the next. What changes is yet to be published. It must
// hold all locks.
func (l *Ledger) generation(t, size int64) (*window.Generation, error) {
	gen, err := l.gens.At(t, size)
	if !errors.Is(err, window.ErrNumbers) {
		l.hot.wantScrub()
		if w := l.o.Window; w.Kind == hapax.Tumbling && w.Count+w.Bytes != 0 && gen != l.current {
			for err == nil && len(l.gens.List()) > 1 {
				l.ended([]*window.Generation{l.gens.Evict()}, false)
			}
		}
		return gen, err
	}
	l.publishLocked() // the sweeps must know what has just ended
	l.hot.finish()
	l.hot.beginScrub()
	l.hot.finish()
	return l.gens.At(t, size)
}

// ended notes that generations have left the window.
func (l *Ledger) ended(gone []*window.Generation, early bool) {
	if len(gone) == 0 {
		return
	}
	for _, gen := range gone {
		if gen.Number != 0 {
			l.hot.live.Add(-gen.Count)
		} else {
			l.cold.live -= gen.Count
		}
		if early {
			l.evictions.total += gen.Count
		}
	}
	if l.journal != nil {
		l.journal.leave(l.gens)
	}
}

// publish tells the stripes which generations are live and what is current. It
// must hold mu.
func (l *Ledger) publish() {
	l.stripes.lockAll()
	l.publishLocked()
	l.stripes.unlockAll()
}

// publishLocked is publish for who holds the stripes.
func (l *Ledger) publishLocked() {
	live := l.gens.Live()
	number := uint8(0)
	if l.current != nil {
		number = l.current.Number
	}
	l.stats.countAges(l.stripes, l.gens, max(l.gens.Watermark(), l.came), l.o.Window.Time)
	for i := range l.stripes {
		st := &l.stripes[i]
		st.live, st.number = live, number
	}
	l.deal()
	if l.o.Window.EventTime {
		l.deadline.Store(math.MaxInt64)
	} else {
		l.deadline.Store(l.gens.Next())
	}
}
