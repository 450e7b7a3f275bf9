package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"math"
	"math/bits"
	"slices"

	"github.com/hapaxmq/hapax"
)

// Checkpoint is how far a source's effects are known to have happened.
type Checkpoint struct {
	Source string
	Offset int64  // this position and all before it are done
	Note   []byte // the caller's own, given back as it is; at most 64 KiB
}

// source is what is known of a source's positions: all up to confirmed are done;
// of those above it, which were admitted, which of these were fresh, and a print of
// the message that each had then.
type source struct {
	confirmed int64 // -1: none
	note      []byte
	chunks    map[int64]*chunk // by offset / chunkSize
	last      *chunk           // used last, number lastAt: positions come in order
	lastAt    int64
	noted     int   // positions in chunks
	highest   int64 // of them; positions above were never seen
}

// chunkSize is small so that a position far from all others costs little.
const chunkSize = 256

type chunk struct {
	admitted, fresh [chunkSize / 64]uint64
	prints          [chunkSize]imprint // of those admitted
}

// imprint is what is kept of a message beside its position, to tell it from another
// one that stands there when it is read again: that one has the same by a chance of
// 2⁻³¹. Of numbered messages it is zero.
type imprint [4]byte

func printOf(f hapax.Fingerprint) imprint { return imprint(f[12:]) }

// inverted is the print of a conflict: with each bit turned over it tells a copy
// with another payload from one that is a duplicate.
func (p imprint) inverted() imprint {
	for i := range p {
		p[i] = ^p[i]
	}
	return p
}

// printOfEntry is what is kept of an entry beside the verdict on its position.
func printOfEntry(e *Entry) imprint {
	if e.Verdict == hapax.Conflict {
		return printOf(e.Fingerprint).inverted()
	}
	return printOf(e.Fingerprint)
}

func newSource() *source { return &source{confirmed: -1, highest: -1, chunks: make(map[int64]*chunk)} }

// seen tells whether the position was admitted before, and whether it is still
// to be run: fresh then, and not confirmed since.
func (s *source) seen(offset int64) (seen, fresh bool) {
	switch {
	case offset <= s.confirmed:
		return true, false
	case offset > s.highest:
		return false, false
	}
	c := s.chunk(offset / chunkSize)
	if c == nil {
		return false, false
	}
	word, bit := offset%chunkSize/64, uint64(1)<<(offset%64)
	return c.admitted[word]&bit != 0, c.fresh[word]&bit != 0
}

// met is the verdict on an entry whose position was met before: Redelivered,
// Duplicate or Conflict. It is 0 if it was not, or with another message: above the
// confirmed position only the one that was admitted counts.
func (s *source) met(e *Entry) hapax.Verdict {
	seen, fresh := s.seen(e.Offset)
	if !seen || e.Offset <= s.confirmed {
		return verdictIf(seen, hapax.Duplicate)
	}
	p := s.chunk(e.Offset / chunkSize).prints[e.Offset%chunkSize]
	switch is := printOf(e.Fingerprint); {
	case fresh:
		return verdictIf(p == is, hapax.Redelivered)
	case p == is.inverted():
		return hapax.Conflict
	default:
		return verdictIf(p == is, hapax.Duplicate)
	}
}

func verdictIf(yes bool, v hapax.Verdict) hapax.Verdict {
	if yes {
		return v
	}
	return 0
}

// isNew tells whether the position is above all that were admitted.
func (s *source) isNew(offset int64) bool { return offset > s.confirmed && offset > s.highest }

func (s *source) chunk(at int64) *chunk {
	if s.last == nil || s.lastAt != at {
		s.last, s.lastAt = s.chunks[at], at
	}
	return s.last
}

// noteVerdict keeps the verdict on a position above the confirmed one, and the
// print of its message.
func (s *source) noteVerdict(offset int64, p imprint, fresh bool) {
	if offset <= s.confirmed {
		return
	}
	c := s.chunk(offset / chunkSize)
	if c == nil {
		c = new(chunk)
		s.chunks[offset/chunkSize] = c
		s.last = c // its number is lastAt
	}
	word, bit := offset%chunkSize/64, uint64(1)<<(offset%64)
	if c.admitted[word]&bit == 0 {
		s.noted++
	}
	c.admitted[word] |= bit
	c.prints[offset%chunkSize] = p
	s.highest = max(s.highest, offset)
	if fresh {
		c.fresh[word] |= bit
	} else {
		c.fresh[word] &^= bit // another message stands there now, and is a copy
	}
}

// confirm forgets the positions up to offset: they are done.
func (s *source) confirm(offset int64, note []byte) {
	if offset < s.confirmed {
		return
	}
	first, end := max(s.confirmed, 0)/chunkSize, offset/chunkSize // the last may hold more
	s.note = slices.Clone(note)
	s.confirmed = offset
	s.last = nil
	if end-first < int64(len(s.chunks)) {
		for at := first; at < end; at++ {
			s.drop(at)
		}
		return
	}
	for at := range s.chunks {
		if at < end {
			s.drop(at)
		}
	}
}

// drop forgets a chunk, if it is there.
func (s *source) drop(at int64) {
	if c := s.chunks[at]; c != nil {
		s.noted -= c.count()
		delete(s.chunks, at)
	}
}

func (c *chunk) count() (n int) {
	for _, word := range c.admitted {
		n += bits.OnesCount64(word)
	}
	return n
}

// sources are those of a ledger that have positions, under its mu.
type sources struct {
	named       map[string]*source
	most        int // sources
	unconfirmed int // positions of one
}

// get finds a source, or makes it.
func (s *sources) get(name string) (*source, error) {
	if known := s.named[name]; known != nil {
		return known, nil
	}
	switch {
	case len(name) > maxSource:
		return nil, fmt.Errorf("source name of %d bytes: at most %d", len(name), maxSource)
	case len(s.named) >= s.most:
		return nil, fmt.Errorf("%w: %d sources have positions; raise MaxSources", hapax.ErrFull, len(s.named))
	}
	made := newSource()
	s.named[name] = made
	return made, nil
}

// forBatch finds the source of a batch of n entries; it is nil if they have no
// positions.
func (s *sources) forBatch(name string, n int) (*source, error) {
	if name == "" {
		return nil, nil
	}
	src, err := s.get(name)
	if err != nil {
		return nil, err
	}
	if src.noted+n > s.unconfirmed {
		return nil, fmt.Errorf("%w: source %q has %d positions that are not confirmed; confirm them, or raise MaxUnconfirmed", hapax.ErrFull, name, src.noted)
	}
	return src, nil
}

// checkpoint is what was last confirmed of a source, if anything was.
func (s *sources) checkpoint(name string) (Checkpoint, bool) {
	src := s.named[name]
	if src == nil || src.confirmed < 0 {
		return Checkpoint{}, false
	}
	return Checkpoint{name, src.confirmed, slices.Clone(src.note)}, true
}

// check refuses a batch whose entries have positions or sizes that cannot be.
func (b *Batch) check() error {
	for i := range b.Entries {
		if err := checkOffset(b.Source, b.Entries[i].Offset); err != nil {
			return err
		}
		if size := b.Entries[i].Size; size < 0 {
			return fmt.Errorf("entry %d: size %d is negative", i, size)
		}
	}
	return nil
}

// check refuses a batch whose entries have positions that cannot be.
func (b *SequenceBatch) check() error {
	for i := range b.Entries {
		if err := checkOffset(b.Source, b.Entries[i].Offset); err != nil {
			return err
		}
	}
	return nil
}

// checkOffset refuses positions that a run of them could not hold.
func checkOffset(name string, offset int64) error {
	switch {
	case offset < 0:
		return fmt.Errorf("source %q: offset %d is negative", name, offset)
	case offset == math.MaxInt64:
		return fmt.Errorf("source %q: offset %d: at most %d", name, offset, int64(math.MaxInt64-1))
	}
	return nil
}

// Confirm says that the effects of a source's messages up to an offset have
// happened: from now on they are done, and copies of them duplicates. It is
// durable on return, by [Options.Durability], together with everything admitted
// before. An offset below the confirmed one changes nothing; a negative one, which
// would say that nothing is done, is an error.
func (l *Ledger) Confirm(ctx context.Context, c Checkpoint) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	end, err := l.confirm(c)
	if err != nil || l.journal == nil {
		return err
	}
	return l.settled(l.journal.wait(end))
}

func (l *Ledger) confirm(c Checkpoint) (end int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return 0, err
	}
	switch {
	case l.o.ReadOnly:
		return 0, errReadOnly
	case l.o.Follows != nil:
		return 0, fmt.Errorf("confirm: %w", errFollows)
	case c.Source == "":
		return 0, fmt.Errorf("confirm: a checkpoint needs a source")
	case len(c.Note) > maxNote:
		return 0, fmt.Errorf("confirm: note of %d bytes, at most %d", len(c.Note), maxNote)
	}
	if err := checkOffset(c.Source, c.Offset); err != nil {
		return 0, fmt.Errorf("confirm: %w", err)
	}
	s, err := l.sources.get(c.Source)
	if err != nil {
		return 0, err
	}
	below := c.Offset < s.confirmed
	if !below {
		s.confirm(c.Offset, c.Note)
	}
	if l.journal == nil {
		return 0, nil
	}
	if !below {
		if err := l.journal.append(frameConfirm, appendCheckpoint(nil, c)); err != nil {
			return 0, l.fail(err)
		}
	}
	return l.journal.End(), nil // what it is below of may not be durable yet
}

// Checkpoint returns what was last confirmed of a source, if anything was. The
// note is a copy.
func (l *Ledger) Checkpoint(name string) (Checkpoint, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sources.checkpoint(name)
}

// Checkpoints returns all sources' checkpoints, by name.
func (l *Ledger) Checkpoints() []Checkpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Checkpoint
	for _, name := range slices.Sorted(maps.Keys(l.sources.named)) {
		if c, ok := l.sources.checkpoint(name); ok {
			all = append(all, c)
		}
	}
	return all
}

func appendCheckpoint(b []byte, c Checkpoint) []byte {
	b = appendString(b, c.Source)
	b = binary.AppendVarint(b, c.Offset)
	return appendString(b, c.Note)
}

func readCheckpoint(r *reader) (c Checkpoint) {
	c.Source = string(r.string("source"))
	c.Offset = r.varint("offset")
	c.Note = slices.Clone(r.string("note"))
	switch {
	case len(c.Source) > maxSource:
		r.fail("name of a source, of up to 1 KiB")
	case len(c.Note) > maxNote:
		r.fail("note of up to 64 KiB")
	}
	return c
}

// sourceChunks is how many chunks stand in one frame of a source: some 1 MiB.
const sourceChunks = 1 << 10

// frames encodes a source for a snapshot, in as many frames as it takes. One is valid
// until the next.
func (s *source) frames(name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var b []byte
		all := slices.Sorted(maps.Keys(s.chunks))
		for more := true; more; more = len(all) > 0 {
			n := min(len(all), sourceChunks)
			if b = appendSource(b[:0], name, s, all[:n]); !yield(b) {
				return
			}
			all = all[n:]
		}
	}
}

// appendSource encodes a source and its chunks with these numbers, which rise.
func appendSource(b []byte, name string, s *source, numbers []int64) []byte {
	b = appendCheckpoint(b, Checkpoint{name, s.confirmed, s.note})
	b = binary.AppendUvarint(b, uint64(len(numbers)))
	for _, at := range numbers {
		b = appendChunk(binary.AppendVarint(b, at), s.chunks[at])
	}
	return b
}

// appendChunk encodes what is known of a chunk's positions, and the prints of those
// admitted.
func appendChunk(b []byte, c *chunk) []byte {
	for i, admitted := range c.admitted {
		b = binary.LittleEndian.AppendUint64(b, admitted)
		b = binary.LittleEndian.AppendUint64(b, c.fresh[i])
		for left := admitted; left != 0; left &= left - 1 {
			b = append(b, c.prints[64*i+bits.TrailingZeros64(left)][:]...)
		}
	}
	return b
}

func readChunk(r *reader) *chunk {
	c := new(chunk)
	for i := range c.admitted {
		c.admitted[i] = r.fixed("chunk")
		c.fresh[i] = r.fixed("chunk")
		for left := c.admitted[i]; left != 0; left &= left - 1 {
			copy(c.prints[64*i+bits.TrailingZeros64(left)][:], r.bytes(len(imprint{}), "print"))
		}
	}
	return c
}

func readSource(r *reader) (name string, s *source) {
	c := readCheckpoint(r)
	if c.Offset < -1 {
		r.fail("position")
	}
	s = newSource()
	s.confirmed, s.note = c.Offset, c.Note
	last := int64(-1)
	for range r.count(8*(1+chunkSize/64*(8+8)), "chunks") {
		at := r.varint("chunk")
		if at <= last || at > math.MaxInt64/chunkSize {
			r.fail("chunk behind the last")
			break
		}
		last = at
		s.put(at, readChunk(r))
	}
	return c.Source, s
}

// put replaces what is known of the positions of a chunk.
func (s *source) put(at int64, c *chunk) {
	if was := s.chunks[at]; was != nil {
		s.noted -= was.count()
	}
	s.chunks[at], s.last = c, nil
	s.noted += c.count()
	s.highest = max(s.highest, at*chunkSize+chunkSize-1)
}

// merge adds what a frame of a snapshot says of the source. It takes nothing away
// but what is confirmed: of a snapshot that was cut off the other frames are missing.
func (s *source) merge(part *source) {
	if s.confirmed == part.confirmed {
		s.note = part.note
	} else {
		s.confirm(part.confirmed, part.note)
	}
	for at, c := range part.chunks {
		s.put(at, c)
	}
}
