package ledger

import (
	"encoding/binary"
	"fmt"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/window"
)

// The frames of a ledger's log. Numbers are little endian; v is a varint as in
// package encoding/binary, s a string or bytes behind their length.
//
//	1 generation  v id · v start · v end                          before its first use in a file
//	2 admit       1 flags · 8 time · [positions · copies × 4 print] · blocks …
//	              1 flags · 8 time · [positions · v through] · blocks …       of a ledger that follows another log
//	    positions s source · v runs · runs × (v first · v n · bits: was it fresh)
//	    print     of a position's message: the last bytes of its fingerprint, of a conflict with each bit inverted. Those
//	              of copies, in their order; the fresh ones are in the blocks, in theirs
//	    block     1 kind · v generation · v n · v bytes · n × 16 fingerprint [· n × 8 digest, but for copies]
//	3 confirm     s source · v offset · s note
//	4 source      confirm's fields · v chunks · chunks × (v number · 4 × (8 admitted · 8 fresh · admitted × 4 print))
//	                                    in a snapshot, some of the source's chunks: there may be more frames of it
//	5 claim       16 fingerprint · v token · v deadline · 8 digest    taken, or extended
//	6 release     16 fingerprint
//	7 commit      16 fingerprint · v generation · v bytes · 8 digest · 1 receipt? · s receipt
//	8 forget      16 fingerprint · v hidden      in cold files up to that number, 0 for none
//	9 tokens      v reserved            tokens up to here may have been given out
//	10 snapshot   v newest generation · v watermark · v files · files × (v number · v end · 8 chain)
//	                                    the frames before it in its file repeat what files before hold, of which these are
//	                                    needed still; where their frames end, and a chain of their checksums
//	11 receipt    16 fingerprint · s receipt                          in a snapshot
//	12 sequence   1 flags · [positions] · v window · [lap] · producers …      what is remembered of these from now on
//	    lap       v file · 8 next       all whose fingerprint's upper half is below next are repeated from that file on; 0: all
//	    producer  16 fingerprint · v epoch · v highest · 4 last number's time · words × 8 numbers
//	13 hidden     16 fingerprint · v file            forgotten in cold files up to that number; in a snapshot
//	14 evicted    v generation · v file · v total    it has left early; of it and those before there are frames up to that file,
//	                                    and total identities have left early by now; in a snapshot with generation 0 if there are none
const (
	frameGeneration = 1 + iota
	frameAdmit
	frameConfirm
	frameSource
	frameClaim
	frameRelease
	frameCommit
	frameForget
	frameTokens
	frameSnapshot
	frameReceipt
	frameSequence
	frameHidden
	frameEvicted
)

const (
	admitDigests   = 1 << 0
	admitPositions = 1 << 1
	admitFollows   = 1 << 2
)

// The kinds of blocks in an admit frame.
const (
	blockFresh = iota
	blockRenewed
	blockCopies
)

// admitFrame builds an admit frame. Its memory is kept from one to the next.
type admitFrame struct {
	digests bool
	now     int64
	marked  int64 // the watermark that the last frame carried
	source  string
	follows bool  // it is of a batch that follows another log
	through int64 // how far
	runs    []run
	prints  []byte // of positions that were copies
	blocks  []block
	keys    []byte // of all blocks, one after the other
	sums    []byte // digests, but for copies
	body    []byte
}

// run is consecutive positions of one source.
type run struct {
	first int64
	n     int
	fresh []byte // bits
}

// copies is how many of the positions had copies.
func copies(runs []run) (n int) {
	for _, r := range runs {
		for i := range r.n {
			if !bit(r.fresh, i) {
				n++
			}
		}
	}
	return n
}

type block struct {
	kind  uint8
	gen   *window.Generation
	n     int
	bytes int64
}

func (f *admitFrame) begin(now int64, source string) {
	f.now, f.source, f.follows = now, source, false
	f.runs, f.blocks = f.runs[:0], f.blocks[:0]
	f.keys, f.sums, f.prints = f.keys[:0], f.sums[:0], f.prints[:0]
}

func (f *admitFrame) empty() bool { return len(f.blocks) == 0 && len(f.runs) == 0 && !f.follows }

func (f *admitFrame) key(gen *window.Generation, e *Entry) { f.add(blockFresh, gen, e) }

// renewed adds an identity whose digest is d: e may have none.
func (f *admitFrame) renewed(gen *window.Generation, e *Entry, d hapax.Digest) {
	f.add(blockRenewed, gen, &Entry{Fingerprint: e.Fingerprint, Digest: d})
}

func (f *admitFrame) copied(gen *window.Generation, e *Entry) { f.add(blockCopies, gen, e) }

func (f *admitFrame) add(kind uint8, gen *window.Generation, e *Entry) {
	last := len(f.blocks) - 1
	if last < 0 || f.blocks[last].kind != kind || f.blocks[last].gen != gen {
		f.blocks = append(f.blocks, block{kind: kind, gen: gen})
		last++
	}
	b := &f.blocks[last]
	b.n++
	b.bytes += e.Size
	f.keys = append(f.keys, e.Fingerprint[:]...)
	if f.digests && kind != blockCopies {
		f.sums = binary.LittleEndian.AppendUint64(f.sums, uint64(e.Digest))
	}
}

// position notes the verdict on a position.
func (f *admitFrame) position(offset int64, fresh bool) {
	last := len(f.runs) - 1
	if last < 0 || f.runs[last].first+int64(f.runs[last].n) != offset {
		if last++; last < cap(f.runs) {
			f.runs = f.runs[:last+1]
			f.runs[last] = run{first: offset, fresh: f.runs[last].fresh[:0]}
		} else {
			f.runs = append(f.runs, run{first: offset})
		}
	}
	r := &f.runs[last]
	r.fresh = appendBit(r.fresh, r.n, fresh)
	r.n++
}

// positionOf notes the verdict on an entry's position. That of a fresh one comes
// behind its key.
func (f *admitFrame) positionOf(e *Entry) {
	fresh := e.Verdict == hapax.Fresh
	f.position(e.Offset, fresh)
	if !fresh {
		p := printOfEntry(e)
		f.prints = append(f.prints, p[:]...)
	}
}

func appendBit(bits []byte, n int, set bool) []byte {
	if n%8 == 0 {
		bits = append(bits, 0)
	}
	if set {
		bits[n/8] |= 1 << (n % 8)
	}
	return bits
}

func bit(bits []byte, n int) bool { return bits[n/8]>>(n%8)&1 != 0 }

// payload encodes the frame. It is valid until the next begin.
func (f *admitFrame) payload() []byte {
	var flags byte
	if f.digests {
		flags |= admitDigests
	}
	if len(f.runs) > 0 || f.follows {
		flags |= admitPositions
	}
	if f.follows {
		flags |= admitFollows
	}
	b := f.body[:0]
	b = append(b, flags)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.now))
	switch {
	case f.follows:
		b = binary.AppendVarint(f.appendPositions(b), f.through)
	case len(f.runs) > 0:
		b = append(f.appendPositions(b), f.prints...)
	}
	keys, sums := f.keys, f.sums
	for _, bl := range f.blocks {
		b = append(b, bl.kind)
		b = binary.AppendUvarint(b, bl.gen.ID)
		b = binary.AppendUvarint(b, uint64(bl.n))
		b = binary.AppendVarint(b, bl.bytes)
		b, keys = append(b, keys[:16*bl.n]...), keys[16*bl.n:]
		if f.digests && bl.kind != blockCopies {
			b, sums = append(b, sums[:8*bl.n]...), sums[8*bl.n:]
		}
	}
	f.body = b
	return b
}

// appendTo appends the frame to the log, and before it what the newest file does
// not know of its generations.
func (f *admitFrame) appendTo(j *journal) error {
	for _, b := range f.blocks {
		if err := j.use(b.gen); err != nil {
			return err
		}
	}
	return j.append(frameAdmit, f.payload())
}

func (f *admitFrame) appendPositions(b []byte) []byte {
	b = appendString(b, f.source)
	b = binary.AppendUvarint(b, uint64(len(f.runs)))
	for _, r := range f.runs {
		b = binary.AppendVarint(b, r.first)
		b = binary.AppendUvarint(b, uint64(r.n))
		b = append(b, r.fresh...)
	}
	return b
}

func appendString[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader takes a payload apart. After the first error it yields zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: frame has no %s", hapax.ErrCorrupt, what)
	}
	r.b = nil
}

func (r *reader) bytes(n int, what string) []byte {
	if n < 0 || n > len(r.b) {
		r.fail(what)
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte(what string) byte {
	if b := r.bytes(1, what); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) fixed(what string) uint64 {
	if b := r.bytes(8, what); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint(what string) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(what)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint(what string) int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail(what)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number of things that take at least size/8 bytes each.
func (r *reader) count(bits int, what string) int {
	n := r.uvarint(what)
	if n > uint64(len(r.b))*8/uint64(bits) {
		r.fail(what)
		return 0
	}
	return int(n)
}

func (r *reader) string(what string) []byte {
	return r.bytes(r.count(8, what), what)
}

func (r *reader) fingerprint() (f hapax.Fingerprint) {
	copy(f[:], r.bytes(len(f), "fingerprint"))
	return f
}

// end reports the first error, or that something is left.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%w: frame has %d bytes too many", hapax.ErrCorrupt, len(r.b))
	}
	return r.err
}

// readBlock is one block of an admit frame as it is read.
type readBlock struct {
	kind  uint8
	gen   uint64
	n     int
	bytes int64
	keys  []byte
	sums  []byte // nil: no digests
}

func (b *readBlock) key(i int) (f hapax.Fingerprint) {
	copy(f[:], b.keys[16*i:])
	return f
}

func (b *readBlock) digest(i int) hapax.Digest {
	if b.sums == nil {
		return 0
	}
	return hapax.Digest(binary.LittleEndian.Uint64(b.sums[8*i:]))
}

// admitHead is the beginning of an admit frame; what follows are blocks, which
// block takes off the reader until it is empty.
type admitHead struct {
	flags  byte
	now    int64
	source string
	runs   []run
	prints []byte // of the positions that had copies

	follows bool  // it is of a ledger that follows another log
	through int64 // how far
}

func readAdmit(r *reader) (h admitHead) {
	h.flags = r.byte("flags")
	h.now = int64(r.fixed("time"))
	if h.flags&admitPositions != 0 {
		h.source, h.runs = readPositions(r)
		checkRuns(r, h.source, h.runs)
	}
	switch h.follows = h.flags&admitFollows != 0; {
	case h.follows:
		if h.through = r.varint("through"); h.through < 0 || h.flags&admitPositions == 0 {
			r.fail("position")
		}
	case h.flags&admitPositions != 0:
		h.prints = r.bytes(len(imprint{})*copies(h.runs), "prints")
	}
	return h
}

// printsOf takes the prints of a frame's positions, in their order, from its head
// and the blocks that r is at, which it leaves there.
type printsOf struct {
	copies []byte
	blocks reader
	flags  byte
	block  readBlock // whose keys are taken
	taken  int
}

func (h *admitHead) printsOf(r *reader) printsOf {
	return printsOf{copies: h.prints, blocks: *r, flags: h.flags}
}

// next is the print of the next position. It is false if there is none.
func (p *printsOf) next(fresh bool) (_ imprint, ok bool) {
	if !fresh {
		next := imprint(p.copies)
		p.copies = p.copies[len(next):]
		return next, true
	}
	for p.block.kind != blockFresh || p.taken == p.block.n {
		if len(p.blocks.b) == 0 {
			return imprint{}, false
		}
		p.block, p.taken = p.blocks.block(p.flags), 0
	}
	p.taken++
	return printOf(p.block.key(p.taken - 1)), true
}

func readPositions(r *reader) (source string, runs []run) {
	source = string(r.string("source"))
	for range r.count(16, "runs") {
		var p run
		p.first = r.varint("position")
		p.n = r.count(1, "positions")
		p.fresh = r.bytes((p.n+7)/8, "positions")
		runs = append(runs, p)
	}
	return source, runs
}

// checkRuns refuses positions that cannot be.
func checkRuns(b *reader, source string, runs []run) {
	if len(source) > maxSource {
		b.fail("name of a source, of up to 1 KiB")
	}
	for _, r := range runs {
		if r.first < 0 || r.first+int64(r.n) < r.first {
			b.fail("position")
		}
	}
}

func (r *reader) block(flags byte) (b readBlock) {
	b.kind = r.byte("block")
	b.gen = r.uvarint("generation")
	b.n = r.count(128, "keys")
	b.bytes = r.varint("bytes")
	b.keys = r.bytes(16*b.n, "keys")
	if flags&admitDigests != 0 && b.kind != blockCopies {
		b.sums = r.bytes(8*b.n, "digests")
	}
	if b.kind > blockCopies {
		r.fail("known block")
	}
	return b
}
