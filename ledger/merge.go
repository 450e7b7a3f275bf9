package ledger

import (
	"errors"
	"slices"

	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

const (
	// maxCold is how many cold files there should be: a look-up asks the filters
	// of all.
	maxCold = 8
	// tooManyCold is how many there may be while no two can be merged: events
	// come in such disorder that any two have too many generations, or there is
	// no room on disk.
	tooManyCold = 64
)

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

// merge makes one file of the two neighbours that are smallest together, without
// what has left the window or has been forgotten. What is forgotten meanwhile is
// left out, or hidden in the new file as in the old: its number is given out.
type merge struct {
	l    *Ledger
	a, b *cold.File // the older one first; nil: there are few enough, or none that fit together
	plan cold.Plan  // of what is made of them
}

// run tells whether there were two to merge.
func (m *merge) run() (merged bool, err error) {
	m.choose()
	if m.a == nil {
		return false, nil
	}
	f, err := m.write()
	if err != nil {
		return false, err
	}
	return true, m.handOver(f)
}

// choose chooses two files and tells what is to be made of them.
func (m *merge) choose() {
	l, p := m.l, &m.plan
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.cold.files) <= maxCold || l.ready() != nil {
		return
	}
	for i := range len(l.cold.files) - 1 {
		older, younger := l.cold.files[i], l.cold.files[i+1]
		if m.a != nil && older.Keys+younger.Keys >= m.a.Keys+m.b.Keys {
			continue
		}
		if gens, keys := m.live(older, younger); len(gens) <= cold.MaxGenerations && l.diskHolds(keys) {
			m.a, m.b = older, younger
			p.Generations, p.Keys = gens, keys
		}
	}
	if m.a != nil {
		p.Number, p.Replaces = l.cold.next(), []uint64{m.a.Number, m.b.Number}
		p.Digests, p.Watermark = l.o.Digests, max(m.a.Watermark, m.b.Watermark)
	}
}

// live is what two files have of generations that are live.
func (m *merge) live(files ...*cold.File) (gens []cold.Generation, keys int64) {
	taken := make(map[uint64]bool)
	for _, f := range files {
		for _, g := range f.Generations {
			if m.l.gens.ByID(g.ID) == nil {
				continue
			}
			keys += g.Count
			if !taken[g.ID] {
				taken[g.ID] = true
				gens = append(gens, g)
			}
		}
	}
	return gens, keys
}

// write makes the file of the two, durable on return.
func (m *merge) write() (*cold.File, error) {
	index := make(map[uint64]uint8)
	for i, g := range m.plan.Generations {
		index[g.ID] = uint8(i)
	}
	w, err := cold.NewWriter(m.l.o.FS, m.l.dir, m.plan)
	if err != nil {
		return nil, err
	}
	err = cold.Merge(w, m.a, m.b, func(f *cold.File, e cold.Entry) (uint8, bool) {
		i, ok := index[f.Generations[e.Generation].ID]
		return i, ok && !m.l.cold.hidden.hidesNow(e.Key.Fingerprint(), f.Number)
	})
	if err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return w.Finish()
}

// handOver puts the merged file into service part by part, and deletes the two it
// was made of.
func (m *merge) handOver(f *cold.File) error {
	l := m.l
	l.mu.Lock()
	l.cold.heir = heir{file: f, a: m.a, b: m.b}
	l.mu.Unlock()
	for part := range f.Parts() {
		if err := f.LoadPart(part); err != nil {
			return err
		}
		l.mu.Lock()
		l.cold.heir.parts = part + 1
		for _, old := range []*cold.File{m.a, m.b} { // under mu: All asks them still
			old.Unload((part + 1) * old.Parts() / f.Parts())
		}
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.Index(l.cold.files, m.a)
	l.cold.files = slices.Replace(l.cold.files, at, at+2, f)
	l.cold.heir = heir{}
	l.cold.retire(m.a, m.b)
	return nil
}
