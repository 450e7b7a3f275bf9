package ledger

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

// coldFiles is the cold files of a ledger, guarded by its mu.
type coldFiles struct {
	o         *Options            // the ledger's
	gens      *window.Generations // the ledger's
	evictions *evictions          // the ledger's

	files  []*cold.File // oldest first
	heir   heir         // of two of them
	number uint64       // given out last
	live   int64        // identities in their live generations
	hidden hidden

	epoch uint64    // rises when identities come into cold files
	ahead coldAhead // of the batch that is being admitted
	spare coldAhead
	hits  []coldHit // of find

	wanted   bool            // the background is to make room, or is making it
	chilling bool            // by moving generations
	moving   map[uint64]bool // generations whose keys are
	coming   int64           // about the bytes of the file in the making
	done     *sync.Cond      // the background has done what was wanted
	tidied   tidied
	stuck    map[uint64]int64 // identities, by file, that do not count and were not left out as it was merged

	readers  int           // of files, a batch's or All's
	surveys  int           // those of them that are All's
	retired  []*cold.File  // not asked any more, to be deleted when there are no readers
	leaving  atomic.Int64  // bytes of these, and of those that are being deleted
	removed  chan struct{} // closed when those that went before them are gone
	removing sync.WaitGroup
	failed   atomic.Pointer[error] // of the first removal that did
}

// hidden are identities that were forgotten: files up to the number that is
// their value do not count. Those that merges make later leave them out.
//
// They change under the ledger's mu and this one, so either is enough to read
// them: a merge asks about each identity without the ledger's.
type hidden struct {
	mu    sync.RWMutex
	files map[hapax.Fingerprint]uint64
}

// maxHidden is how many there may be. Forget keeps to it; opening takes what the
// log says of the files that are there.
const maxHidden = 1 << 20

// hides tells whether the file does not count for an identity. It must hold the
// ledger's mu.
func (h *hidden) hides(f hapax.Fingerprint, file uint64) bool {
	return len(h.files) > 0 && h.files[f] >= file
}

// hidesNow is hides for a merge.
func (h *hidden) hidesNow(f hapax.Fingerprint, file uint64) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.hides(f, file)
}

// put makes files up to a number not count for an identity.
func (h *hidden) put(f hapax.Fingerprint, file uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.files == nil {
		h.files = make(map[hapax.Fingerprint]uint64)
	}
	h.files[f] = max(h.files[f], file)
}

// leave lets those go that only files before the first could hold.
func (h *hidden) leave(first uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.files, func(_ hapax.Fingerprint, file uint64) bool { return file < first })
}

func (c *coldFiles) next() uint64 {
	c.number++
	return c.number
}

// none tells whether there is nothing to ask.
func (c *coldFiles) none() bool { return len(c.files) == 0 }

// find looks a key up that is not live in the table.
func (c *coldFiles) find(k window.Key) (*window.Generation, hapax.Digest, bool, error) {
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
		if gen := c.generation(h.file, h.entry); gen != nil {
			return gen, h.entry.Digest, true, nil
		}
	}
	return nil, 0, false, nil
}

// generation is that of an entry of a file, nil if it has left the window or the
// entry was forgotten.
func (c *coldFiles) generation(f *cold.File, e cold.Entry) *window.Generation {
	gen := c.gens.ByID(f.Generations[e.Generation].ID)
	if gen == nil || c.hidden.hides(e.Key.Fingerprint(), f.Number) {
		return nil
	}
	return gen
}

// keeps tells whether a file holds what the table held under a generation: it is
// being made of it, or the identity's window has been renewed since.
func (c *coldFiles) keeps(f hapax.Fingerprint, gen *window.Generation) bool {
	_, _, ok, err := c.find(window.KeyOf(f))
	return c.moving[gen.ID] || ok || err != nil
}

// mayForget refuses to forget an identity that cold files may hold if too many of
// theirs are forgotten already.
func (c *coldFiles) mayForget(f hapax.Fingerprint) error {
	if _, ok := c.hidden.files[f]; ok || len(c.hidden.files) < maxHidden {
		return nil
	}
	if len(c.moving) == 0 && len(c.locate(window.KeyOf(f), nil)) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d forgotten identities are still in cold files, until these are merged or their window ends", hapax.ErrFull, maxHidden)
}

// forget hides an identity of a cold file, and tells of which generation.
func (c *coldFiles) forget(f hapax.Fingerprint) (*window.Generation, error) {
	gen, _, ok, err := c.find(window.KeyOf(f))
	if err != nil || !ok {
		return nil, err
	}
	c.gens.Remove(gen, 1, 0)
	c.live--
	c.hidden.put(f, c.number)
	return gen, nil
}

// forgetAgain hides an identity as when it was forgotten, in files up to a number.
// The log is being read; counted says that the table held it, and that files do
// not count it any more. Of a window that is renewed the youngest copy counts.
func (c *coldFiles) forgetAgain(f hapax.Fingerprint, file uint64, counted bool) error {
	for _, h := range c.locate(window.KeyOf(f), nil) {
		e, ok, err := h.file.Read(h.key, h.at)
		if err != nil {
			return err
		}
		gen := c.generation(h.file, e)
		if !ok || gen == nil {
			continue
		}
		if h.file.Number <= file && !counted {
			c.gens.Remove(gen, 1, 0)
			c.live--
		}
		if c.o.Window.Kind == hapax.Renewed {
			break
		}
	}
	c.number = max(c.number, file)
	if file >= c.first() {
		c.hidden.put(f, file)
	}
	return nil
}

// leave counts an identity out of the cold files that the log holds anew, in
// the frame at that offset of that file: its window was renewed. It tells of one
// that came again after that frame and went to a file then: the file counts it,
// and the frame tells only of a generation that it has left since.
func (c *coldFiles) leave(k window.Key, log uint64, at int64) (later bool, err error) {
	if c.o.Window.Kind != hapax.Renewed {
		return false, nil
	}
	for _, h := range c.locate(k, nil) {
		e, ok, err := h.file.Read(k, h.at)
		if err != nil {
			return false, err
		}
		if !ok {
			continue
		}
		gen := c.generation(h.file, e)
		if gen == nil {
			continue
		}
		// What is older does not count it.
		if moved := &h.file.Generations[e.Generation]; log < moved.Log || log == moved.Log && at < moved.At {
			return true, nil
		}
		c.gens.Remove(gen, 1, 0)
		c.live--
		return false, nil
	}
	return false, nil
}

// first is the lowest number of a file that is asked or read.
func (c *coldFiles) first() uint64 {
	first := uint64(math.MaxUint64)
	for _, files := range [][]*cold.File{c.files, c.retired} {
		for _, f := range files {
			first = min(first, f.Number)
		}
	}
	return first
}

// log is the number of the first file of the log that may hold something of a
// generation beside its cold file.
func (c *coldFiles) log(id uint64) uint64 {
	for _, f := range c.files {
		for _, g := range f.Generations {
			if g.ID == id {
				return g.Log
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

// clean retires the files that hold nothing live, while no merge reads them, and
// reports a removal that failed.
func (c *coldFiles) clean() error {
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
			live = live || c.gens.ByID(g.ID) != nil
		}
		if live {
			kept = append(kept, f)
		} else {
			c.retire(f)
		}
	}
	c.files = kept
	if len(c.hidden.files) > 0 {
		c.hidden.leave(c.first())
	}
	return nil
}

// endRead ends what began with readers++.
func (c *coldFiles) endRead() {
	c.readers = max(c.readers-1, 0)
	c.retire()
	c.done.Broadcast() // whoever waits for what was held goes on
}

// held is the bytes of files that are to be deleted when who reads them has ended.
func (c *coldFiles) held() (bytes int64) {
	for _, f := range c.retired {
		bytes += f.Size()
	}
	return bytes
}

// retire closes and deletes files that nobody asks any more, once nobody reads
// them: in the background, for the system takes its time over large ones. They go
// one after another, as they were retired: a file that came back after a crash
// when the one that replaced it was gone would count once more. And they go when the log
// has on disk what left early: else nothing would tell of it after a crash.
func (c *coldFiles) retire(files ...*cold.File) {
	for _, f := range files {
		c.leaving.Add(f.Size())
		delete(c.stuck, f.Number)
	}
	c.retired = append(c.retired, files...)
	if c.readers > 0 || len(c.retired) == 0 {
		return
	}
	gone, before, removed, durable := c.retired, c.removed, make(chan struct{}), c.evictions.durable()
	c.retired, c.removed = nil, removed
	c.removing.Go(func() {
		defer close(removed)
		if before != nil {
			<-before
		}
		if err := durable(); err != nil {
			c.failed.CompareAndSwap(nil, &err)
		}
		for _, f := range gone {
			err := f.Close()
			if c.failed.Load() == nil {
				err = errors.Join(err, removeCold(c.o.FS, f))
			}
			if c.leaving.Add(-f.Size()); err != nil {
				c.failed.CompareAndSwap(nil, &err)
			}
		}
	})
}

// removeCold deletes a file, for good on return.
func removeCold(fsys vfs.FS, f *cold.File) error {
	err := fsys.Remove(f.Path())
	if err == nil {
		err = fsys.SyncDir(filepath.Dir(f.Path()))
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", f.Path(), err)
	}
	return nil
}

// numbers are those of the files.
func (c *coldFiles) numbers() (n []uint64) {
	for _, f := range c.files {
		n = append(n, f.Number)
	}
	return n
}

func (c *coldFiles) close() error {
	if c.done != nil {
		c.done.Broadcast() // nothing will move any more
	}
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
