package ledger

import (
	"cmp"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

// coldOpening opens the cold files of a ledger that is being opened, and begins
// their generations again.
type coldOpening struct {
	l        *Ledger
	replaced map[uint64]bool // files that another one replaces
}

func (o *coldOpening) run() error {
	l := o.l
	names, err := l.o.FS.List(l.dir)
	if err != nil {
		return err
	}
	o.replaced = make(map[uint64]bool)
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
				o.replaced[n] = true
			}
		}
	}
	if err := o.keep(); err != nil {
		return err
	}
	return o.count()
}

// keep keeps the files that no other replaces. It deletes the rest in the
// order in which they were made, as retire does.
func (o *coldOpening) keep() error {
	l := o.l
	slices.SortFunc(l.cold.files, func(a, b *cold.File) int { return cmp.Compare(a.Number, b.Number) })
	kept := l.cold.files[:0:0]
	for _, f := range l.cold.files {
		if !o.replaced[f.Number] {
			kept = append(kept, f)
			continue
		}
		if err := f.Close(); err != nil {
			return err
		}
		if l.o.ReadOnly {
			continue
		}
		if err := removeCold(l.o.FS, f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	l.cold.files = kept
	// Oldest first, by what they hold: a merged file has a late number.
	slices.SortFunc(kept, func(a, b *cold.File) int { return cmp.Compare(a.Oldest(), b.Oldest()) })
	return nil
}

// count begins the generations of the cold files again, and loads their
// filters.
func (o *coldOpening) count() error {
	l := o.l
	if l.o.Window.EventTime {
		for _, f := range l.cold.files {
			l.ended(l.gens.Advance(f.Watermark), false)
		}
	}
	renewed, err := o.countRenewed()
	if err != nil {
		return err
	}
	for _, f := range l.cold.files {
		for i, g := range f.Generations {
			l.gens.SkipTo(g.ID) // none that begins later may be taken for it
			if l.gens.Gone(g.ID, g.End) {
				continue
			}
			gen, err := l.gens.Restore(window.Generation{ID: g.ID, Start: g.Start, End: g.End}, false)
			if err != nil {
				return err
			}
			n := g.Count - renewed[f][i]
			l.cold.live += n
			l.ended(l.gens.Add(gen, n, g.Bytes), false)
		}
		if err := f.Load(); err != nil {
			return err
		}
	}
	return nil
}

// countRenewed counts, by file and generation, the identities that came again
// later and are in a younger file too. It reads all files, where a window is
// renewed.
func (o *coldOpening) countRenewed() (map[*cold.File]*[256]int64, error) {
	l := o.l
	counts := make(map[*cold.File]*[256]int64)
	for _, f := range l.cold.files {
		counts[f] = new([256]int64)
	}
	if l.o.Window.Kind != hapax.Renewed || len(l.cold.files) < 2 {
		return counts, nil
	}
	err := cold.Again(l.cold.files,
		func(f *cold.File, generation uint8) bool {
			g := &f.Generations[generation]
			return !l.gens.Gone(g.ID, g.End)
		},
		func(f *cold.File, generation uint8) { counts[f][generation]++ })
	return counts, err
}
