package ledger

import (
	"cmp"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

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
