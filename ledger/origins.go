package ledger

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/bits"
	"slices"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/segment"
)

// Origin is where an identity was first seen.
type Origin struct {
	Fingerprint hapax.Fingerprint
	First       time.Time      // as in [Sighting]; zero: it is not remembered
	Position    hapax.Position // of the first copy; zero: it had none, or the log does not tell
	Digest      hapax.Digest   // of its payload, with [Options.Digests]
}

// Origins finds the first copies of many identities at once. It reads the log from
// where it found the last, for one copy is seldom alone: those of a range that is
// sent again lie beside one another. Where they do not it reads all that the log has
// of a slice of the window for each slice that they are from.
//
// A window that is renewed moves identities from slice to slice, so of one that was
// seen again it finds no position; in a step of such a window Find comes before
// Admit. It is for one goroutine at a time.
type Origins struct {
	// MaxRead is how many bytes of log a call of Find may read, after which it gives
	// no more positions. Zero: no bound.
	MaxRead int64

	l     *Ledger
	found []Origin // what Find is to fill in
	index fingerprints
	spans []span
	last  landmark
	left  int64 // of MaxRead
}

// span is the part of a file of the log that holds what was first seen in one
// generation.
type span struct {
	gen     uint64
	file    logFile
	from    int64
	missing int // identities not found in it yet
}

// landmark is the frame in which the latest first copy was found.
type landmark struct {
	file, gen uint64
	at        int64
}

// NewOrigins finds what a ledger with a directory remembers.
func NewOrigins(l *Ledger) *Origins { return &Origins{l: l} }

// Find fills in the origins of the identities that are remembered: inside a step
// those that it has admitted too, outside of any, where s is nil, what was there
// before it was called. In a step nobody else is given a verdict while it reads: a
// few thousand identities of one slice take some ms.
func (o *Origins) Find(s *Step, origins []Origin) error {
	o.found, o.left, o.spans = origins, o.MaxRead, o.spans[:0]
	if o.index.fill(origins); s == nil {
		o.l.mu.Lock()
	} else {
		o.inStep(s)
	}
	w, err := o.locate(s != nil && s.admitted && o.l.o.Window.Kind == hapax.Renewed)
	if s == nil {
		o.l.mu.Unlock()
	}
	for i := 0; i < len(o.spans) && err == nil; i++ {
		err = o.search(&o.spans[i], w)
	}
	for i := range origins {
		if first := o.index.of(origins[i].Fingerprint[:]); first != i {
			origins[i] = origins[first]
		}
	}
	o.found = nil
	return err
}

// inStep fills in what the step itself is about to remember.
func (o *Origins) inStep(s *Step) {
	for _, b := range s.batches {
		for i := range b.Entries {
			e := &b.Entries[i]
			if at := o.index.of(e.Fingerprint[:]); at >= 0 && s.admitted && e.Verdict == hapax.Fresh {
				o.found[at].First, o.found[at].Digest = time.Unix(0, s.now), e.Digest
				o.found[at].Position = hapax.Position{Source: b.Source, Offset: e.Offset}
			}
		}
	}
}

// locate finds out which parts of the log tell of the identities, none if their slices
// have just been renewed, and the writer of its newest file. It must hold mu.
func (o *Origins) locate(renewed bool) (*segment.Writer, error) {
	l := o.l
	if err := l.ready(); err != nil {
		return nil, err
	}
	l.stripes.lockAll()
	defer l.stripes.unlockAll()
	a := admission{l: l}
	missing := make(map[uint64]int)
	for i := range o.found {
		at := &o.found[i]
		if o.index.of(at.Fingerprint[:]) != i || !at.First.IsZero() {
			continue
		}
		f, err := a.findEntry(&Entry{Fingerprint: at.Fingerprint})
		switch {
		case err != nil:
			return nil, err
		case f.gen != nil:
			at.First, at.Digest = time.Unix(0, f.gen.Start), f.digest
			missing[f.gen.ID]++
		}
	}
	if l.journal == nil || renewed {
		return nil, l.sound(nil)
	}
	for gen, n := range missing {
		for _, f := range l.journal.files {
			if _, ok := f.ends[gen]; ok {
				o.spans = append(o.spans, span{gen: gen, file: *f, from: max(f.starts[gen], segment.FirstFrame), missing: n})
			}
		}
	}
	slices.SortFunc(o.spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.gen, b.gen), cmp.Compare(a.file.number, b.file.number))
	})
	return l.journal.w, l.sound(nil)
}

// search reads a span, from where the last was found if that is in it.
func (o *Origins) search(s *span, w *segment.Writer) error {
	from := s.from
	if o.last.file == s.file.number && o.last.gen == s.gen {
		from = max(from, o.last.at)
	}
	if err := o.walk(s, w, from, 0); err != nil || s.missing == 0 || from == s.from {
		return err
	}
	return o.walk(s, w, s.from, from)
}

// walk reads a span from an offset up to another; 0: to its end.
func (o *Origins) walk(s *span, w *segment.Writer, from, to int64) error {
	visit := func(f segment.Frame) error {
		if o.left -= int64(len(f.Payload)); o.MaxRead > 0 && o.left < 0 || to > 0 && f.Offset >= to {
			return segment.ErrStop
		}
		return o.frame(s, f)
	}
	scan := segment.ScanOptions{Kind: logKind, End: s.file.size}
	if w != nil && w.Path() == s.file.path {
		if err := w.WalkUnflushed(from, visit); err != nil || s.missing == 0 {
			return err
		}
		scan.End = w.Flushed()
	}
	if scan.End <= from {
		return nil
	}
	err := segment.Walk(o.l.o.FS, s.file.path, scan, from, visit)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // it has left the window meanwhile
	}
	return err
}

// frame looks for the span's identities in a frame.
func (o *Origins) frame(s *span, f segment.Frame) error {
	if f.Type != frameAdmit {
		return nil
	}
	b := &reader{b: f.Payload}
	h := readAdmit(b)
	later, fresh := false, 0
	for b.err == nil && len(b.b) > 0 {
		block := b.block(h.flags)
		if block.kind == blockFresh {
			if block.gen == s.gen {
				o.block(s, f.Offset, &h, &block, fresh)
			}
			fresh += block.n
		}
		later = later || block.kind == blockFresh && block.gen > s.gen
	}
	if s.missing == 0 || later && !o.l.o.Window.EventTime { // what arrives comes into slices in their order
		return segment.ErrStop
	}
	return b.err
}

// block looks for the span's identities in a block that is behind so many fresh
// entries of its frame.
func (o *Origins) block(s *span, at int64, h *admitHead, b *readBlock, fresh int) {
	var positions []int64 // of the frame's fresh entries, once one is asked for
	for i := range b.n {
		hit := o.index.of(b.keys[16*i:])
		if hit < 0 || o.found[hit].Position != (hapax.Position{}) {
			continue
		}
		if positions == nil {
			positions = freshOf(h.runs)
		}
		o.found[hit].First = time.Unix(0, h.now)
		if fresh+i < len(positions) {
			o.found[hit].Position = hapax.Position{Source: h.source, Offset: positions[fresh+i]}
		}
		o.last = landmark{s.file.number, s.gen, at}
		s.missing--
	}
}

// freshOf are the offsets of a frame's fresh entries.
func freshOf(runs []run) (offsets []int64) {
	for _, r := range runs {
		for i := range r.n {
			if bit(r.fresh, i) {
				offsets = append(offsets, r.first+int64(i))
			}
		}
	}
	return offsets
}

// fingerprints finds the first of some origins by their fingerprint, whose bits are
// as good as random.
type fingerprints struct {
	origins []Origin
	slots   []int32 // index and one; 0: none
}

func (p *fingerprints) fill(origins []Origin) {
	size := 4 << bits.Len(uint(len(origins)))
	if p.origins = origins; cap(p.slots) < size {
		p.slots = make([]int32, size)
	}
	p.slots = p.slots[:size]
	clear(p.slots)
	for i := range origins {
		origins[i] = Origin{Fingerprint: origins[i].Fingerprint}
		if slot, found := p.slot(origins[i].Fingerprint[:]); !found {
			p.slots[slot] = int32(i + 1)
		}
	}
}

// of is the index of a fingerprint, -1 if it is none of them.
func (p *fingerprints) of(key []byte) int {
	slot, _ := p.slot(key)
	return int(p.slots[slot]) - 1
}

func (p *fingerprints) slot(key []byte) (slot uint64, found bool) {
	mask := uint64(len(p.slots) - 1)
	for slot = binary.LittleEndian.Uint64(key[8:]) & mask; ; slot = (slot + 1) & mask {
		i := p.slots[slot]
		if i == 0 || p.origins[i-1].Fingerprint == hapax.Fingerprint(key[:16]) {
			return slot, i != 0
		}
	}
}
