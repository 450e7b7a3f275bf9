package ledger

import (
	"errors"
	"slices"

	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

// maxCold is how many cold files there may be: a look-up asks the filters of all.
const maxCold = 8

// heir is a merged file that takes over from two neighbours, a part at a time,
// so that memory never holds the filters of all three.
type heir struct {
	file  *cold.File // nil: no merge has got so far
	a, b  *cold.File
	parts int // of the heir: those before are its own
}

// of is the file that answers for f about a key; nil: another one does.
func (h *heir) of(f *cold.File, k window.Key) *cold.File {
	switch {
	case h.file == nil || f != h.a && f != h.b || h.file.PartOf(k) >= h.parts:
		return f
	case f == h.a:
		return nil // it is asked when it is b's turn
	}
	return h.file
}

func (l *Ledger) mergeDue() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.cold.files) > maxCold && l.ready() == nil
}

// merge makes one file of the two neighbours that are smallest together, without
// what has left the window.
func (l *Ledger) merge() error {
	a, b, p := l.planMerge()
	index := make(map[uint64]uint8)
	for i, g := range p.Generations {
		index[g.ID] = uint8(i)
	}
	w, err := cold.NewWriter(l.o.FS, l.dir, p)
	if err != nil {
		return err
	}
	err = cold.Merge(w, a, b, func(f *cold.File, generation uint8) (uint8, bool) {
		i, ok := index[f.Generations[generation].ID]
		return i, ok
	})
	if err != nil {
		return errors.Join(err, w.Abort())
	}
	f, err := w.Finish()
	if err != nil {
		return err
	}
	return l.handOver(a, b, f)
}

// planMerge chooses two files and tells what is to be made of them.
func (l *Ledger) planMerge() (a, b *cold.File, p cold.Plan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.cold.smallest()
	a, b = l.cold.files[at], l.cold.files[at+1]
	p = cold.Plan{Number: l.cold.next(), Replaces: []uint64{a.Number, b.Number}, Digests: l.o.Digests, Log: max(a.Log, b.Log)}
	taken := make(map[uint64]bool)
	for _, f := range []*cold.File{a, b} {
		for _, g := range f.Generations {
			if l.gens.ByID(g.ID) == nil {
				continue
			}
			p.Keys += g.Count
			if !taken[g.ID] {
				taken[g.ID] = true
				p.Generations = append(p.Generations, g)
			}
		}
	}
	return a, b, p
}

// handOver puts a merged file into service part by part, and deletes the two it
// was made of.
func (l *Ledger) handOver(a, b, f *cold.File) error {
	l.mu.Lock()
	l.cold.heir = heir{file: f, a: a, b: b}
	l.mu.Unlock()
	for part := range f.Parts() {
		if err := f.LoadPart(part); err != nil {
			return err
		}
		l.mu.Lock()
		l.cold.heir.parts = part + 1
		l.mu.Unlock()
		for _, old := range []*cold.File{a, b} {
			if err := old.Unload((part + 1) * old.Parts() / f.Parts()); err != nil {
				return err
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.Index(l.cold.files, a)
	l.cold.files = slices.Replace(l.cold.files, at, at+2, f)
	l.cold.heir = heir{}
	l.cold.retire(a, b)
	return nil
}
