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

// heir is a merged file that takes over from two neighbours, or from one, a part at
// a time, so that memory never holds the filters of all three.
type heir struct {
	file  *cold.File // nil: no merge has got so far
	a, b  *cold.File // a is nil where b is alone
	parts int        // of the heir: those before are its own
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

// merge makes one file of the two neighbours that are smallest together, or of what
// [tidying] has chosen, without what has left the window, has been forgotten or was
// seen again since. What is forgotten meanwhile is left out, or hidden in the new file
// as in the old: its number is given out.
type merge struct {
	l    *Ledger
	a, b *cold.File // the older one first, nil where b is alone; both nil: nothing is to be merged
	plan cold.Plan  // of what is made of them

	renewal renewal
	evicted func() error // returns when it is durable what the plan leaves out
}

// run tells whether there were two to merge.
func (m *merge) run() (merged bool, err error) {
	m.choose()
	return m.b != nil, m.make()
}

// make makes one file of those that were chosen, if any were.
func (m *merge) make() error {
	if m.b == nil {
		return nil
	}
	f, err := m.write()
	if err != nil {
		return err
	}
	return m.handOver(f)
}

// choose chooses two files and tells what is to be made of them.
func (m *merge) choose() {
	l := m.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.cold.files) <= maxCold || l.ready() != nil {
		return
	}
	t, chosen := tidying{l}, [2]*cold.File{}
	for i := range len(l.cold.files) - 1 {
		older, younger := l.cold.files[i], l.cold.files[i+1]
		if chosen[0] != nil && older.Keys+younger.Keys >= chosen[0].Keys+chosen[1].Keys {
			continue
		}
		gens, keys := liveIn(l.gens, older, younger)
		if bytes := cold.Length(keys, l.o.Digests); len(gens) <= cold.MaxGenerations && l.o.mayMerge(bytes) && t.holds(bytes, bytes) {
			chosen = [2]*cold.File{older, younger}
		}
	}
	if chosen[0] != nil {
		m.of(chosen[0], chosen[1])
	}
}

// of plans one file of two neighbours, or of one: a is nil then. It must hold mu.
func (m *merge) of(a, b *cold.File) {
	l, p := m.l, &m.plan
	m.a, m.b = a, b
	p.Generations, p.Keys = liveIn(l.gens, a, b)
	p.Number, p.Digests, p.Watermark = l.cold.next(), l.o.Digests, b.Watermark
	if a != nil {
		p.Replaces, p.Watermark = append(p.Replaces, a.Number), max(p.Watermark, a.Watermark)
	}
	p.Replaces = append(p.Replaces, b.Number)
	l.cold.coming = cold.Length(p.Keys, p.Digests)
	m.renewal, m.evicted = newRenewal(l, b), l.evictions.durable()
}

// liveIn is what two files, one of which may be nil, have of generations that are
// live: all of these, and how many identities count. It must hold mu.
func liveIn(all *window.Generations, files ...*cold.File) (gens []cold.Generation, keys int64) {
	taken := make(map[uint64]bool)
	for _, f := range files {
		if f == nil {
			continue
		}
		for _, g := range f.Generations {
			gen := all.ByID(g.ID)
			if gen == nil {
				continue
			}
			keys += min(g.Count, gen.Count)
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
		return i, ok && !m.l.cold.hidden.hidesNow(e.Key.Fingerprint(), f.Number) && !m.renewal.has(e.Key)
	})
	if err = errors.Join(err, m.renewal.durable(), m.evicted()); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return w.Finish()
}

// handOver puts the merged file into service part by part, and deletes those it
// was made of.
func (m *merge) handOver(f *cold.File) error {
	l := m.l
	l.mu.Lock()
	old := []*cold.File{m.a, m.b}
	if m.a == nil {
		old = old[1:]
	}
	l.cold.heir = heir{file: f, a: m.a, b: m.b}
	l.mu.Unlock()
	parts := f.Parts()
	for part := range parts {
		if err := f.LoadPart(part); err != nil {
			return err
		}
		l.mu.Lock()
		l.cold.heir.parts = part + 1
		for _, f := range old { // under mu: All asks them still
			f.Unload((part + 1) * f.Parts() / parts)
		}
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.Index(l.cold.files, old[0])
	l.cold.files = slices.Replace(l.cold.files, at, at+len(old), f)
	l.cold.heir, l.cold.coming = heir{}, 0
	_, live := liveIn(l.gens, f)
	l.cold.stuck[f.Number] = max(f.Keys-live, 0)
	l.cold.retire(old...)
	return nil
}
