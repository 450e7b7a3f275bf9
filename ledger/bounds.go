package ledger

import (
	"fmt"
	"math"
	"path/filepath"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/textfile"
	"github.com/hapaxmq/hapax/window"
)

// bounds are those of a ledger's window while it is opened, which may ask for others
// than it was left with. All that is on disk is read as it was left; then the bounds
// change, and the file ledger says so in one step: there are the old ones or the new.
type bounds struct {
	l    *Ledger
	meta meta
	want hapax.Window
}

// Continues tells whether a ledger of one window may be opened with another in its
// place: they are the same, or of the same kind, which is not tumbling, with other
// bounds. By event time these are the same ones with other numbers.
//
// A longer window holds for what is still remembered; what has left stays away. A
// shorter one lets go at once, but for up to what was 1/128 of the window, or 1/64 of
// one with several bounds, when it came. A bound that there was not holds for what
// came before in slices of the bounds that there were. A count of up to 2^20 goes on
// being exact as long as there is one of at most that.
func Continues(was, w hapax.Window) bool {
	switch {
	case w == was:
		return true
	case w.Kind == hapax.Tumbling:
		return false
	case w.EventTime && ((w.Count == 0) != (was.Count == 0) || (w.Bytes == 0) != (was.Bytes == 0)):
		return false
	}
	w.Time, w.Count, w.Bytes, w.Unbounded = was.Time, was.Count, was.Bytes, was.Unbounded
	return w == was
}

// under is the form with which a ledger of a form goes on with a window. It counts on
// exactly, or not any more: in what order its identities came it does not know.
func (f form) under(w hapax.Window) form {
	f.Exact = f.Exact && formOf(w).Exact
	return f
}

// former makes the ledger what it was left as.
func (b *bounds) former() error {
	info, err := b.meta.info()
	if err != nil {
		return err
	}
	l := b.l
	if l.o.Window = info.Window; b.change() {
		l.gens.Rebound(l.o.Window)
	}
	if f := b.meta.Former; f != nil {
		l.gens.GoOn(*f)
	}
	return nil
}

// change tells whether the bounds are to change.
func (b *bounds) change() bool { return b.want != b.l.o.Window }

// set changes the bounds of a ledger whose log has been read, durably on return, if
// they are to change.
func (b *bounds) set(d directory) error {
	l := b.l
	if !b.change() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := l.gens.Watermark(); last > math.MaxInt64-int64(b.want.Time+b.want.Time/64+l.o.Window.Time/64) {
		return fmt.Errorf("a window of %v reaches beyond the end of time: the ledger has come to %d nanoseconds since 1970", b.want.Time, last)
	}
	was := l.o.Window
	if l.o.Window = b.want; was.Time == 0 {
		l.gens.Advance(l.now()) // all that is there came before
	}
	former := b.rebound()
	b.chill()
	m := metaOf(&l.o, b.meta.Created)
	m.Key, m.Former = b.meta.Key, &former
	if err := textfile.Write(d.fs, filepath.Join(d.path, metaName), m); err != nil {
		l.failed = err // what has left may not be what a clean close would say
		return err
	}
	l.o.Logger.Info("the window's bounds have changed", "dir", l.dir, "from", was, "to", b.want)
	return nil
}

// rebound lets go what is beyond the bounds that the options say. It must hold mu.
func (b *bounds) rebound() window.Former {
	l := b.l
	l.stripes.lockAll()
	defer l.stripes.unlockAll()
	gone, former := l.gens.Rebound(l.o.Window)
	l.ended(gone, false)
	if l.hot.recency != nil {
		l.hot.trim()
	}
	l.publishLocked()
	return former
}

// chill has a ledger keep cold files from now on that had none, if the window allows it
// and what it remembers fits the part of MaxMemory that they leave. It must hold mu.
func (b *bounds) chill() {
	l := b.l
	if l.o.chills() || !mayChill(b.want, l.o.exact()) || l.sequences.bytes() > l.o.coldMemory() {
		return
	}
	l.o.form.Chills = l.hot.mem.cede(l.o.coldMemory(), l.hot.table)
}
