package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/window"
)

// replay applies frames to a ledger that is being opened, under its mu.
type replay struct {
	l     *Ledger
	j     *journal
	f     *logFile
	at    int64                         // the frame's offset in it
	gens  map[uint64]*window.Generation // of the file; nil: left the window
	ahead map[uint64]window.Generation  // introduced in it, and not used yet
	check logCheck

	asLeft bool // what left the window since the log ended is remembered

	claimed map[hapax.Fingerprint]bool // claims of the snapshot
}

func (r *replay) file(f *logFile, mustBeSealed bool) (segment.Report, error) {
	r.f, r.gens = f, make(map[uint64]*window.Generation)
	r.ahead, r.claimed = make(map[uint64]window.Generation), make(map[hapax.Fingerprint]bool)
	o := segment.ScanOptions{Kind: logKind, Sequence: f.number, MustBeSealed: mustBeSealed}
	return segment.Scan(r.l.o.FS, f.path, o, r.frame)
}

func (r *replay) frame(f segment.Frame) error {
	b := &reader{b: f.Payload}
	r.at = f.Offset
	err := r.apply(f.Type, b)
	if err == nil {
		err = b.end()
	}
	if err != nil {
		return fmt.Errorf("%s at offset %d: %w", r.f.path, f.Offset, err)
	}
	return nil
}

func (r *replay) apply(kind uint8, b *reader) error {
	l := r.l
	switch kind {
	case frameGeneration:
		return r.generation(b)
	case frameAdmit:
		return r.admit(b)
	case frameConfirm:
		return r.confirm(b)
	case frameSource:
		return r.snapshotSource(b)
	case frameClaim:
		f, h := readClaim(b)
		if !r.check.complete {
			r.claimed[f] = true
		}
		return r.claim(f, h)
	case frameRelease:
		f := b.fingerprint()
		l.claims.Drop(f)
		l.hot.unclaim(f)
	case frameCommit:
		return r.commit(readCommit(b))
	case frameForget:
		f := b.fingerprint()
		_, hot := l.forgetInTable(f)
		l.receipts.drop(f) // of one in a cold file
		if hidden := b.uvarint("file"); hidden != 0 {
			return r.hide(f, hidden, hot)
		}
	case frameHidden:
		f := b.fingerprint()
		return r.hide(f, b.uvarint("file"), false)
	case frameTokens:
		l.claims.reserved = max(l.claims.reserved, b.uvarint("tokens"))
	case frameSnapshot:
		s := readSnapshot(b, r.f.number)
		checkTime(b, s.watermark, l.o.Window)
		if b.err != nil {
			return b.err
		}
		l.gens.SkipTo(s.newest)
		l.ended(l.gens.Advance(s.watermark), false)
		r.check.snapshot(s)
		r.j.begun = r.at
		r.dropClaims()
	case frameReceipt:
		f := b.fingerprint()
		l.receipts.put(f, append(hapax.Receipt{}, b.string("receipt")...))
	case frameSequence:
		return r.sequences(b)
	case frameEvicted:
		evictAgain(l, b)
	default:
		return fmt.Errorf("%w: frame of unknown type %d", hapax.ErrCorrupt, kind)
	}
	return nil
}

// dropClaims lets the claims go that a complete snapshot does not have: they ended
// in a file that is not needed any more.
func (r *replay) dropClaims() {
	var ended []hapax.Fingerprint
	r.l.claims.All(func(f hapax.Fingerprint, _ window.Held) bool {
		if !r.claimed[f] {
			ended = append(ended, f)
		}
		return true
	})
	for _, f := range ended {
		r.l.claims.Drop(f)
		r.l.hot.unclaim(f)
	}
}

// hide makes an identity forgotten again that cold files up to a number may hold;
// counted says that they do not count it.
func (r *replay) hide(f hapax.Fingerprint, file uint64, counted bool) error {
	return r.l.cold.forgetAgain(f, file, counted)
}

// source is the source with that name. A log with more of them than may be is
// refused: to open it takes the limits that it was written with, or higher ones.
func (r *replay) source(name string) (*source, error) {
	s := r.l.sources.named[name]
	if s != nil {
		return s, nil
	}
	if most := r.l.o.MaxSources; len(r.l.sources.named) >= most {
		return nil, fmt.Errorf("%w: the log has positions of more sources than MaxSources of %d; raise it", hapax.ErrFull, most)
	}
	s = newSource()
	r.l.sources.named[name] = s
	return s, nil
}

func (r *replay) fitsUnconfirmed(name string, s *source) error {
	if most := r.l.o.MaxUnconfirmed; s.noted > most {
		return fmt.Errorf("%w: the log has more positions of source %q that were not confirmed than MaxUnconfirmed of %d; raise it",
			hapax.ErrFull, name, most)
	}
	return nil
}

func (r *replay) confirm(b *reader) error {
	c := readCheckpoint(b)
	if c.Offset < 0 {
		b.fail("position")
	}
	if b.err != nil {
		return b.err
	}
	s, err := r.source(c.Source)
	if err == nil {
		s.confirm(c.Offset, c.Note)
	}
	return err
}

// snapshotSource adds to what is known of a source.
func (r *replay) snapshotSource(b *reader) error {
	name, part := readSource(b)
	if b.err != nil {
		return b.err
	}
	s, err := r.source(name)
	if err != nil {
		return err
	}
	s.merge(part)
	return r.fitsUnconfirmed(name, s)
}

// followed notes how far another log was followed.
func (r *replay) followed(b *reader, source string, through int64) error {
	if b.err != nil {
		return b.err
	}
	s, err := r.source(source)
	if err == nil {
		s.confirm(through, nil)
	}
	return err
}

// positions notes the verdicts that a frame gave on positions.
func (r *replay) positions(b *reader, source string, runs []run, next func(fresh bool) (imprint, bool)) error {
	checkRuns(b, source, runs)
	if b.err != nil || len(runs) == 0 {
		return b.err
	}
	s, err := r.source(source)
	if err != nil {
		return err
	}
	for _, run := range runs {
		for i := range run.n {
			fresh := bit(run.fresh, i)
			p, ok := next(fresh)
			if !ok {
				b.fail("key of each position")
				return b.err
			}
			s.noteVerdict(run.first+int64(i), p, fresh)
		}
		if err := r.fitsUnconfirmed(source, s); err != nil {
			return err
		}
	}
	return nil
}

// generation introduces a generation. Those that are not live yet begin when they
// are used: one batch may have filled more of them than may be live at a time.
func (r *replay) generation(b *reader) error {
	gen := readGeneration(b, r.l.o.Window)
	if b.err != nil {
		return b.err
	}
	r.f.introduced(gen.ID, gen.End, r.at)
	r.l.gens.SkipTo(gen.ID)
	if r.l.gens.ByID(gen.ID) != nil {
		return r.begin(gen)
	}
	r.ahead[gen.ID] = gen
	return nil
}

// begin begins a generation again, unless it has left the window.
func (r *replay) begin(gen window.Generation) error {
	if _, early := r.l.evictions.files[gen.ID]; early || r.l.gens.Gone(gen.ID, gen.End) {
		return nil
	}
	if l := r.l; l.gens.ByID(gen.ID) == nil && (l.cold.log(gen.ID) > 0 || !l.o.Window.EventTime && l.gens.Chilled(gen.ID)) {
		return nil // its keys went to a cold file, by arrival the oldest first, and it has left since
	}
	live, err := restoreHot(r.l, gen)
	if err != nil {
		return err
	}
	r.gens[gen.ID] = live
	if live.Number != 0 || r.l.o.Details || r.f.number >= r.l.cold.log(gen.ID) {
		r.f.gens[gen.ID] = struct{}{}
	}
	r.l.publish()
	return nil
}

// restoreHot begins a generation of the table again. If there is no number for it, then
// by arrival the oldest were in cold files when it began, and have left with these since.
func restoreHot(l *Ledger, gen window.Generation) (*window.Generation, error) {
	live, err := l.gens.Restore(gen, true)
	for swept := false; errors.Is(err, window.ErrNumbers) && !(swept && l.o.Window.EventTime); swept = true {
		for swept && l.gens.Crowded() {
			l.ended([]*window.Generation{l.gens.Drop(l.gens.OldestHot().ID)}, false)
		}
		l.publish()
		l.stripes.lockAll()
		l.hot.finish()
		l.hot.beginScrub()
		l.hot.finish()
		l.stripes.unlockAll()
		live, err = l.gens.Restore(gen, true)
	}
	return live, err
}

// of is the generation with that ID if it is live.
func (r *replay) of(id uint64) (*window.Generation, error) {
	if gen, ok := r.ahead[id]; ok {
		delete(r.ahead, id)
		if err := r.begin(gen); err != nil {
			return nil, err
		}
	}
	gen := r.gens[id]
	if gen != nil && (gen.Number == 0 || r.l.gens.ByID(id) == nil) {
		delete(r.gens, id) // its keys are in a cold file, or it has left
		return nil, nil
	}
	return gen, nil
}

func (r *replay) admit(b *reader) error {
	h := readAdmit(b)
	checkTime(b, h.now, r.l.o.Window)
	if h.follows {
		if err := r.followed(b, h.source, h.through); err != nil {
			return err
		}
	} else {
		prints := h.printsOf(b)
		if err := r.positions(b, h.source, h.runs, prints.next); err != nil {
			return err
		}
	}
	r.l.ended(r.l.gens.Advance(h.now), false)
	for b.err == nil && len(b.b) > 0 {
		block := b.block(h.flags)
		if b.err != nil {
			break
		}
		gen, err := r.of(block.gen)
		if err == nil && gen != nil && block.kind != blockCopies {
			err = r.block(&block, gen)
		}
		if err != nil {
			return err
		}
	}
	return b.err
}

// block remembers a block's identities under its generation.
func (r *replay) block(b *readBlock, gen *window.Generation) error {
	l := r.l
	if err := l.hot.fit(b.n); err != nil {
		return err
	}
	var keys [ahead]window.Key
	var spots [ahead]window.Spot
	var taken int64
	for at := 0; at < b.n; at += ahead {
		n := min(b.n-at, ahead)
		for i := range n {
			keys[i] = window.KeyOf(b.key(at + i))
			spots[i] = l.hot.table.Spot(keys[i])
		}
		fresh, err := r.keys(b, at, keys[:n], spots[:n], gen)
		if err != nil {
			return err
		}
		taken += fresh
	}
	l.hot.live.Add(taken)
	if gone := l.gens.Add(gen, taken, b.bytes); len(gone) > 0 {
		l.ended(gone, false)
		l.publish()
	}
	return l.hot.pay(b.n)
}

// keys remembers a block's identities from the one at on, and returns how many
// were not in the generation yet.
func (r *replay) keys(b *readBlock, at int, keys []window.Key, spots []window.Spot, gen *window.Generation) (taken int64, err error) {
	l := r.l
	l.stripes.lockAll()
	defer l.stripes.unlockAll()
	l.hot.table.Load(keys, spots, &l.stripes[0].live)
	epoch := l.hot.table.Epoch()
	for i, k := range keys {
		if l.hot.table.Epoch() != epoch {
			spots[i] = l.hot.table.Spot(k)
		}
		fresh, err := r.key(b, at+i, k, spots[i], gen)
		if err != nil {
			return taken, err
		}
		taken += fresh
	}
	return taken, nil
}

// key remembers one identity and returns 1 if it was not in the generation yet.
func (r *replay) key(b *readBlock, i int, k window.Key, s window.Spot, gen *window.Generation) (int64, error) {
	l := r.l
	st := l.stripes.of(k)
	p, was := l.hot.table.FindAt(k, s)
	live := was != 0 && st.live[was]
	if b.kind == blockFresh {
		l.receipts.drop(b.key(i)) // of when it was remembered before
	}
	if !live {
		if later, err := l.cold.leave(k, r.f.number, r.at); err != nil || later {
			return 0, err
		}
	}
	switch {
	case was == 0:
		var err error
		if p, err = l.hot.insert(k, s, gen.Number); err != nil {
			return 0, err
		}
	case was == gen.Number:
		if l.hot.recency != nil {
			l.hot.recency.Touch(l.hot.recencyAt(k, p))
		}
		return 0, nil
	default:
		l.hot.table.Mark(k, p, gen.Number)
		if first := l.gens.ByNumber(was); live && first != nil {
			l.gens.Remove(first, 1, 0)
			l.hot.live.Add(-1)
			if l.hot.recency != nil {
				l.hot.recency.Remove(l.hot.recencyAt(k, p))
			}
		}
	}
	l.hot.setSide(k, p, b.key(i), b.digest(i))
	return 1, nil
}

func (r *replay) claim(f hapax.Fingerprint, h window.Held) error {
	l := r.l
	if h.Deadline <= l.now() {
		l.claims.SkipTo(h.Token)
		l.claims.Drop(f)
		l.hot.unclaim(f)
		return nil
	}
	k := window.KeyOf(f)
	p, was := l.hot.table.Find(k)
	switch {
	case was == 0:
		l.stripes.lockAll()
		_, err := l.hot.insert(k, l.hot.table.Spot(k), window.Claimed)
		l.stripes.unlockAll()
		if err != nil {
			return err
		}
	case was != window.Claimed && l.stripes.of(k).live[was]:
		// It had left the window by what the next frame will say.
		l.forgetInTable(f)
		return r.claim(f, h)
	default:
		l.hot.table.Mark(k, p, window.Claimed)
	}
	l.claims.Put(f, h)
	if most := l.o.MaxClaims; l.claims.Len() > most {
		return fmt.Errorf("%w: the log has more live claims than MaxClaims of %d; raise it", hapax.ErrFull, most)
	}
	return nil
}

func (r *replay) commit(e Entry, id uint64, receipt hapax.Receipt) error {
	l := r.l
	l.claims.Drop(e.Fingerprint)
	l.hot.unclaim(e.Fingerprint)
	gen, err := r.of(id)
	if err != nil {
		return err
	}
	if gen != nil {
		b := readBlock{
			kind: blockFresh, n: 1, bytes: e.Size, keys: e.Fingerprint[:],
			sums: binary.LittleEndian.AppendUint64(nil, uint64(e.Digest)),
		}
		if err := r.block(&b, gen); err != nil {
			return err
		}
	}
	if l.gens.ByID(id) != nil { // in the table or in a cold file
		l.receipts.put(e.Fingerprint, receipt)
	}
	return nil
}

// checkTime refuses a frame of a time so late that the ends of its window would
// be behind the end of time.
func checkTime(b *reader, now int64, w hapax.Window) {
	if now > math.MaxInt64-int64(w.Time)-int64(w.Time)/64 { // 64: the widest slices are W/64
		b.fail("time before the end of time")
	}
}

// readGeneration decodes a generation of a window.
func readGeneration(b *reader, w hapax.Window) window.Generation {
	gen := window.Generation{ID: b.uvarint("generation"), Start: b.varint("start"), End: b.varint("end")}
	switch {
	case gen.End < gen.Start:
		b.fail("end behind its start")
	case gen.End == math.MaxInt64: // it was begun when time bounded nothing
	case w.Time != 0 && w.Kind != hapax.Tumbling && gen.End > math.MaxInt64-int64(w.Time):
		b.fail("end before the end of time")
	}
	return gen
}
