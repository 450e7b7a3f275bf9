package ledger

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

// coldFiles is the cold files of a ledger, guarded by its mu.
type coldFiles struct {
	fs     vfs.FS
	files  []*cold.File // oldest first
	heir   heir         // of two of them
	number uint64       // given out last
	live   int64        // identities in their live generations
	hidden hidden

	epoch uint64    // rises when identities come into cold files
	ahead coldAhead // of the batch that is being admitted
	spare coldAhead
	hits  []coldHit // of find

	wanted bool            // generations are about to move, or moving
	frozen bool            // no sweep may begin: keys are being copied
	moving map[uint64]bool // generations whose keys are
	done   *sync.Cond      // moving has ended

	readers  int          // of whole files
	retired  []*cold.File // not asked any more, to be deleted when there are no readers
	removing sync.WaitGroup
	failed   atomic.Pointer[error] // of the first removal that did
}

// hidden are identities of cold files that were forgotten: up to the generation
// that is their value they are not there.
type hidden map[hapax.Fingerprint]uint64

// maxHidden bounds them.
const maxHidden = 1 << 20

func (h hidden) hides(f hapax.Fingerprint, id uint64) bool { return len(h) > 0 && h[f] >= id }

func (c *coldFiles) next() uint64 {
	c.number++
	return c.number
}

// find looks a key up that is not live in the table.
func (c *coldFiles) find(k window.Key, gens *window.Generations) (*window.Generation, hapax.Digest, bool, error) {
	hits, ok := c.ahead.of(k)
	if !ok || c.ahead.epoch != c.epoch {
		c.hits = c.locate(k, c.hits[:0])
		hits = c.hits
		for i := range hits {
			h := &hits[i]
			h.entry, h.found, h.err = h.file.Read(k, h.at)
		}
	}
	for i := range hits {
		h := &hits[i]
		if h.err != nil {
			return nil, 0, false, h.err
		}
		if !h.found {
			continue
		}
		gen := gens.ByID(h.file.Generations[h.entry.Generation].ID)
		if gen != nil && !c.hidden.hides(k.Fingerprint(), gen.ID) {
			return gen, h.entry.Digest, true, nil
		}
	}
	return nil, 0, false, nil
}

// freezing tells whether the keys of a generation are being copied to a file.
func (c *coldFiles) freezing(gen *window.Generation) bool { return c.moving[gen.ID] }

// forget hides an identity of a cold file, and tells of which generation.
func (c *coldFiles) forget(f hapax.Fingerprint, gens *window.Generations) (*window.Generation, error) {
	gen, _, ok, err := c.find(window.KeyOf(f), gens)
	if err != nil || !ok {
		return nil, err
	}
	if gen.Number == 0 {
		gens.Remove(gen, 1, 0)
		c.live--
	}
	return gen, c.hide(f, gen.ID)
}

// hide makes an identity as if no generation up to id in a cold file held it.
func (c *coldFiles) hide(f hapax.Fingerprint, id uint64) error {
	if c.hidden == nil {
		c.hidden = make(hidden)
	}
	if len(c.hidden) >= maxHidden {
		return fmt.Errorf("%w: %d forgotten identities are still in cold files, until their window ends", hapax.ErrFull, len(c.hidden))
	}
	c.hidden[f] = max(c.hidden[f], id)
	return nil
}

// log is the number of the first file of the log that may hold something of a
// generation beside its cold file.
func (c *coldFiles) log(id uint64) uint64 {
	for _, f := range c.files {
		for _, g := range f.Generations {
			if g.ID == id {
				return f.Log
			}
		}
	}
	return 0
}

// memory is the bytes that filters and indexes take.
func (c *coldFiles) memory() (n int64) {
	for _, f := range c.files {
		n += f.Memory()
	}
	if c.heir.file != nil {
		n += c.heir.file.Memory()
	}
	return n
}

// size is the bytes of the files.
func (c *coldFiles) size() (n int64) {
	for _, f := range c.files {
		n += f.Size()
	}
	return n
}

// smallest is the first of the two neighbours that are smallest together.
func (c *coldFiles) smallest() int {
	at := 0
	for i := range len(c.files) - 1 {
		if c.files[i].Keys+c.files[i+1].Keys < c.files[at].Keys+c.files[at+1].Keys {
			at = i
		}
	}
	return at
}

// clean retires the files that hold nothing live, while no merge reads them, and
// reports a removal that failed.
func (c *coldFiles) clean(gens *window.Generations) error {
	if err := c.failed.Load(); err != nil {
		return *err
	}
	if c.wanted {
		return nil
	}
	kept := c.files[:0:0]
	for _, f := range c.files {
		live := false
		for _, g := range f.Generations {
			live = live || gens.ByID(g.ID) != nil
		}
		if live {
			kept = append(kept, f)
		} else {
			c.retire(f)
		}
	}
	c.files = kept
	if list := gens.List(); len(c.hidden) > 0 && len(list) > 0 {
		maps.DeleteFunc(c.hidden, func(_ hapax.Fingerprint, id uint64) bool { return id < list[0].ID })
	}
	return nil
}

// retire closes and deletes files that nobody asks any more, once nobody reads
// them: in the background, for the system takes its time over large ones.
func (c *coldFiles) retire(files ...*cold.File) {
	c.retired = append(c.retired, files...)
	if c.readers > 0 || len(c.retired) == 0 {
		return
	}
	gone := c.retired
	c.retired = nil
	c.removing.Go(func() {
		for _, f := range gone {
			if err := errors.Join(f.Close(), c.fs.Remove(f.Path())); err != nil {
				err = fmt.Errorf("delete %s: %w", f.Path(), err)
				c.failed.CompareAndSwap(nil, &err)
			}
		}
	})
}

// numbers are those of the files.
func (c *coldFiles) numbers() (n []uint64) {
	for _, f := range c.files {
		n = append(n, f.Number)
	}
	return n
}

func (c *coldFiles) close() error {
	c.readers = 0 // those left get an error
	c.retire()
	c.removing.Wait()
	var err error
	if failed := c.failed.Load(); failed != nil {
		err = *failed
	}
	if c.heir.file != nil {
		err = errors.Join(err, c.heir.file.Close())
	}
	for _, f := range c.files {
		err = errors.Join(err, f.Close())
	}
	c.files, c.heir = nil, heir{}
	return err
}

// allCold yields the identities of the cold files.
func (l *Ledger) allCold(yield func(Sighting, error) bool) {
	l.mu.Lock()
	files := slices.Clone(l.cold.files)
	l.cold.readers++
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.endRead()
	}()
	for _, f := range files {
		for e, err := range f.All() {
			if err != nil {
				yield(Sighting{}, err)
				return
			}
			if s, ok := l.sightCold(f, e); ok && !yield(s, nil) {
				return
			}
		}
	}
}

// sightCold is the sighting of an entry that is live, and not newer in the table.
func (l *Ledger) sightCold(f *cold.File, e cold.Entry) (s Sighting, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.gens.ByID(f.Generations[e.Generation].ID)
	s.Fingerprint = e.Key.Fingerprint()
	if g == nil || g.Number != 0 || l.cold.hidden.hides(s.Fingerprint, g.ID) {
		return s, false
	}
	st := l.stripe(e.Key)
	st.mu.Lock()
	_, was := l.table.Find(e.Key)
	hot := st.live[was]
	st.mu.Unlock()
	if hot {
		return s, false
	}
	l.sighted(&s, g)
	s.Digest = e.Digest
	return s, true
}

// rewarm puts an identity of a cold file into the table: its window runs anew.
func (l *Ledger) rewarm(e *Entry, k window.Key, d hapax.Digest, first, gen *window.Generation) error {
	p, err := l.insert(k, l.table.Spot(k), gen.Number)
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
