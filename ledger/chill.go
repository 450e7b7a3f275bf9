package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

const (
	// hotShare is the part of MaxMemory that a ledger with a directory gives to
	// its table; the rest is for the filters of its cold files.
	hotShare = 0.45
	// chillAt is the part of what the table may take at which the oldest
	// generations begin to move to a cold file.
	chillAt = 0.8
)

// wantChill asks maintain to move the oldest generations to a cold file, if
// there are any and the filters' budget has room. It must hold mu.
func (l *Ledger) wantChill() {
	if l.cold.wanted || l.failed != nil {
		return
	}
	_, keys := l.coldest()
	need := l.cold.memory() + int64(2.4*float64(keys))
	if keys == 0 || need > l.o.MaxMemory-int64(hotShare*float64(l.o.MaxMemory)) {
		return
	}
	l.cold.wanted = true
	l.nudge()
}

// coldest is the oldest generations in the table that hold half of what it
// holds, and how many identities that is. The current one is not among them.
func (l *Ledger) coldest() (gens []*window.Generation, keys int64) {
	for _, gen := range l.gens.List() {
		if gen.Number == 0 || gen.Count == 0 {
			continue
		}
		if gen == l.current || len(gens) == cold.MaxGenerations || keys > 0 && keys+gen.Count > l.live.Load()*5/8 {
			break
		}
		gens, keys = append(gens, gen), keys+gen.Count
	}
	return gens, keys
}

// chill moves the oldest generations to a cold file, beside whatever else is
// going on, and merges files when there are many. It runs on maintain only.
func (l *Ledger) chill() {
	err := l.chillOnce()
	for err == nil && l.mergeDue() {
		err = l.merge()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cold.wanted, l.cold.frozen = false, false
	if err != nil && l.ready() == nil {
		_ = l.fail(err) // the next call reports it
	}
	l.cold.done.Broadcast()
}

func (l *Ledger) chillOnce() error {
	gens, plan := l.freeze()
	if len(gens) == 0 {
		return nil
	}
	w, err := cold.NewWriter(l.o.FS, l.dir, plan)
	if err != nil {
		return err
	}
	var index [256]int
	for i, gen := range gens {
		index[gen.Number] = i + 1
	}
	var entries []cold.Entry
	for shard := range 256 {
		entries = l.collect(uint8(shard), &index, entries[:0])
		if err := w.Shard(entries); err != nil {
			return errors.Join(err, w.Abort())
		}
	}
	// What the file remembers must not outlive the log that made it so.
	if err := l.journal.sync(l.journal.end()); err != nil {
		return errors.Join(err, w.Abort())
	}
	f, err := w.Finish()
	if err != nil {
		return err
	}
	if err := f.Load(); err != nil {
		return err
	}
	return l.thaw(f, gens)
}

// freeze chooses the generations to move and holds off sweeps, so that their
// keys stay where they are.
func (l *Ledger) freeze() ([]*window.Generation, cold.Plan) {
	for l.scrubSome() {
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ready() != nil {
		return nil, cold.Plan{}
	}
	for l.step() > 0 {
	}
	l.cold.frozen = true
	gens, keys := l.coldest()
	p := cold.Plan{Number: l.cold.next(), Keys: keys, Digests: l.o.Digests, Log: l.journal.newestNumber()}
	l.cold.moving = make(map[uint64]bool)
	for _, gen := range gens {
		l.cold.moving[gen.ID] = true
		p.Generations = append(p.Generations, cold.Generation{ID: gen.ID, Start: gen.Start, End: gen.End, Bytes: gen.Bytes})
	}
	return gens, p
}

// collect copies the keys of one shard that are to move.
func (l *Ledger) collect(shard uint8, index *[256]int, dst []cold.Entry) []cold.Entry {
	st := &l.stripes[stripeOf(shard)]
	st.mu.Lock()
	defer st.mu.Unlock()
	l.table.All(shard, func(k window.Key, number uint8, side uint64) bool {
		if i := index[number]; i > 0 {
			dst = append(dst, cold.Entry{Key: k, Generation: uint8(i - 1), Digest: hapax.Digest(side)})
		}
		return true
	})
	return dst
}

// thaw puts the file into service in place of the keys in the table.
func (l *Ledger) thaw(f *cold.File, gens []*window.Generation) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return errors.Join(err, f.Close())
	}
	for _, gen := range gens {
		if l.gens.ByID(gen.ID) == nil {
			continue // it left the window meanwhile
		}
		l.gens.Chill(gen)
		l.live.Add(-gen.Count)
		l.cold.live += gen.Count
	}
	l.cold.files = append(l.cold.files, f)
	l.cold.frozen, l.cold.moving = false, nil
	l.publish()
	l.lockAll()
	l.beginScrub()
	l.unlockAll()
	l.cold.done.Broadcast()
	if !l.o.Details {
		l.journal.moved(gens, f.Log)
	}
	return l.journal.drop()
}

// maxCold is how many cold files there may be: a look-up asks the filters of all.
const maxCold = 8

func (l *Ledger) mergeDue() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.cold.files) > maxCold && l.ready() == nil
}

// merge makes one file of the two neighbours that are smallest together, without
// what has left the window.
func (l *Ledger) merge() error {
	l.mu.Lock()
	at := l.cold.smallest()
	a, b := l.cold.files[at], l.cold.files[at+1]
	p := cold.Plan{
		Number: l.cold.next(), Keys: a.Keys + b.Keys, Replaces: []uint64{a.Number, b.Number},
		Digests: l.o.Digests, Log: max(a.Log, b.Log),
	}
	index := make(map[uint64]uint8)
	for _, f := range []*cold.File{a, b} {
		for _, g := range f.Generations {
			if l.gens.ByID(g.ID) != nil && len(p.Generations) < cold.MaxGenerations {
				index[g.ID] = uint8(len(p.Generations))
				p.Generations = append(p.Generations, g)
			}
		}
	}
	hidden := l.cold.hidden.clone()
	l.mu.Unlock()
	w, err := cold.NewWriter(l.o.FS, l.dir, p)
	if err != nil {
		return err
	}
	err = cold.Merge(w, a, b, func(f *cold.File, generation uint8) (uint8, bool) {
		i, ok := index[f.Generations[generation].ID]
		return i, ok
	}, func(k window.Key, id uint64) bool { return hidden.hides(k.Fingerprint(), id) })
	if err != nil {
		return errors.Join(err, w.Abort())
	}
	f, err := w.Finish()
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.cold.files = slices.Replace(l.cold.files, at, at+2, f)
	l.mu.Unlock()
	for _, old := range []*cold.File{a, b} {
		old.Unload()
		if err := errors.Join(old.Close(), l.o.FS.Remove(old.Path())); err != nil {
			return fmt.Errorf("delete merged %s: %w", old.Path(), err)
		}
	}
	return f.Load()
}

// openCold opens the cold files and begins their generations again.
func (l *Ledger) openCold() error {
	names, err := l.o.FS.List(l.dir)
	if err != nil {
		return err
	}
	replaced := make(map[uint64]bool)
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, cold.Suffix+cold.TempSuffix) && !l.o.ReadOnly:
			if err := l.o.FS.Remove(filepath.Join(l.dir, name)); err != nil {
				return err
			}
		case strings.HasSuffix(name, cold.Suffix):
			f, err := cold.Open(l.o.FS, filepath.Join(l.dir, name))
			if err != nil {
				return err
			}
			l.cold.files = append(l.cold.files, f)
			l.cold.number = max(l.cold.number, f.Number)
			for _, n := range f.Replaces {
				replaced[n] = true
			}
		}
	}
	l.cold.fs = l.o.FS
	return l.restoreCold(replaced)
}

func (l *Ledger) restoreCold(replaced map[uint64]bool) error {
	kept := l.cold.files[:0:0]
	for _, f := range l.cold.files {
		if !replaced[f.Number] {
			kept = append(kept, f)
			continue
		}
		if err := f.Close(); err != nil {
			return err
		}
		if l.o.ReadOnly {
			continue
		}
		if err := l.o.FS.Remove(f.Path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	l.cold.files = kept
	// Oldest first, by what they hold: a merged file has a late number.
	slices.SortFunc(kept, func(a, b *cold.File) int { return cmp.Compare(a.Oldest(), b.Oldest()) })
	for _, f := range kept {
		for _, g := range f.Generations {
			if l.gens.Ended(g.End) {
				continue
			}
			gen, err := l.gens.Restore(window.Generation{ID: g.ID, Start: g.Start, End: g.End}, false)
			if err != nil {
				return err
			}
			l.cold.live += g.Count
			l.ended(l.gens.Add(gen, g.Count, g.Bytes), false)
		}
		if err := f.Load(); err != nil {
			return err
		}
	}
	return nil
}

// rewarm puts an identity of a cold file into the table: its window runs anew.
func (l *Ledger) rewarm(e *Entry, k window.Key, d hapax.Digest, first, gen *window.Generation) error {
	p, err := l.insert(k, gen.Number)
	if err != nil {
		return err
	}
	l.setSide(k, p, e.Fingerprint, d)
	l.gens.Remove(first, 1, 0)
	l.cold.live--
	l.live.Add(1)
	l.frame.renewed(gen, e, d)
	if gone := l.gens.Add(gen, 1, 0); len(gone) > 0 {
		l.ended(gone, false)
		l.publishLocked()
	}
	return nil
}
