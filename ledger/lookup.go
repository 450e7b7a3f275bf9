package ledger

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/window"
)

// Sighting is what is known of an identity.
type Sighting struct {
	Fingerprint hapax.Fingerprint
	Verdict     hapax.Verdict  // Duplicate: it is remembered; InFlight: it is claimed
	First       time.Time      // first seen: exact where the log holds it, else the start of its generation
	Expires     time.Time      // when time lets it go; zero if only count or bytes do. Of a claim: when its lease ends
	Position    hapax.Position // of the first copy, where it had one
	Digest      hapax.Digest   // of its payload, with [Options.Digests]
	Copies      int64          // duplicates seen since, with [Options.Details]
	Token       uint64         // of a claim
}

// Lookup tells what is known of an identity: whether it is remembered or
// claimed, since when and until when. It changes nothing, and an error of it says
// nothing of what later calls will do.
//
// A ledger with a directory reads its log for what is not in memory: the files
// that hold the identity's generation, or with [Options.Details] all files, at
// some hundred million identities a second. Without Details the log of what has
// moved to a cold file is deleted. First is then the start of its generation, up
// to 1/128 of the window too early, and there is no Position.
func (l *Ledger) Lookup(ctx context.Context, f hapax.Fingerprint) (Sighting, bool, error) {
	if err := ctx.Err(); err != nil {
		return Sighting{}, false, err
	}
	s, id, ok, err := l.find(f)
	if err != nil || !ok || s.Verdict != hapax.Duplicate || l.journal == nil {
		return s, ok, err
	}
	x := explainer{&s}
	err = x.read(ctx, l, id)
	return s, err == nil, err
}

// find looks an identity up in the table.
func (l *Ledger) find(f hapax.Fingerprint) (s Sighting, gen uint64, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { err = l.sound(err) }()
	if err := l.ready(); err != nil {
		return s, 0, false, err
	}
	now := l.now()
	if err := l.turnIfDue(now); err != nil {
		return s, 0, false, err
	}
	k := window.KeyOf(f)
	st := l.stripes.of(k)
	st.mu.Lock()
	defer st.mu.Unlock()
	p, was := l.hot.table.Find(k)
	s.Fingerprint = f
	switch {
	case was == window.Claimed:
		h, held := l.claims.Get(f, now)
		s.Verdict, s.Token, s.Digest = hapax.InFlight, h.Token, h.Digest
		s.Expires = time.Unix(0, h.Deadline)
		return s, 0, held, nil
	case !st.live[was]:
		g, d, ok, err := l.cold.find(k)
		if err != nil || !ok {
			return s, 0, false, err
		}
		s.remember(g, l.gens)
		s.Digest = d
		return s, g.ID, true, nil
	}
	g := l.gens.ByNumber(was)
	s.remember(g, l.gens)
	s.Digest = l.hot.digest(k, p)
	return s, g.ID, true, nil
}

// remember fills in what a generation knows of its identities.
func (s *Sighting) remember(g *window.Generation, gens *window.Generations) {
	s.Verdict = hapax.Duplicate
	s.First = time.Unix(0, g.Start)
	if at, ok := gens.Expires(g); ok {
		s.Expires = time.Unix(0, at)
	}
}

// read reads l's log for the frame that first held the identity, of generation id.
func (x *explainer) read(ctx context.Context, l *Ledger, id uint64) error {
	if !l.o.ReadOnly {
		if err := l.settled(l.journal.Flush(l.journal.End())); err != nil {
			return err
		}
	}
	l.mu.Lock()
	w := l.journal.w
	var files []logFile
	for _, f := range l.journal.files {
		if _, ok := f.gens[id]; ok || l.o.Details {
			files = append(files, *f)
		}
	}
	l.mu.Unlock()
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := x.scan(l.o.FS, f, w)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// scanOpen reads the frames of a file that is being written, as far as they are
// flushed, and returns where it stopped.
func scanOpen(w *segment.Writer, visit func(segment.Frame) error) (at int64, err error) {
	var buf []byte
	end := w.Flushed()
	for at = segment.FirstFrame; at < end; {
		f, err := w.FrameAt(at, buf)
		if err != nil {
			return at, err
		}
		if err := visit(f); err != nil {
			return at, err
		}
		at, buf = f.Next(), f.Payload[:0]
	}
	return at, nil
}

// explainer looks for one identity in the frames of a log.
type explainer struct{ s *Sighting }

// scan reads a file of the log, the one that is being written by w too.
func (x *explainer) scan(fsys vfs.FS, f logFile, w *segment.Writer) error {
	o := segment.ScanOptions{Kind: logKind, End: f.size}
	from := int64(segment.FirstFrame)
	if w != nil && w.Path() == f.path {
		var err error
		if from, err = scanOpen(w, x.frame); !errors.Is(err, fs.ErrClosed) {
			return err
		}
		o.End = 0 // the log went on in another file meanwhile, and this one was closed
	}
	_, err := segment.Scan(fsys, f.path, o, func(f segment.Frame) error {
		if f.Offset < from {
			return nil
		}
		return x.frame(f)
	})
	return err
}

func (x *explainer) frame(f segment.Frame) error {
	b := &reader{b: f.Payload}
	switch f.Type {
	case frameCommit:
		if e, _, _ := readCommit(b); e.Fingerprint == x.s.Fingerprint {
			x.s.Copies = 0
		}
	case frameAdmit:
		x.admit(b)
	}
	return nil
}

func (x *explainer) admit(b *reader) {
	h := readAdmit(b)
	fresh := 0 // of the frame, so far
	for b.err == nil && len(b.b) > 0 {
		block := b.block(h.flags)
		for i := range block.n {
			if block.key(i) != x.s.Fingerprint {
				continue
			}
			switch block.kind {
			case blockFresh:
				x.s.Copies = 0
				x.s.First = time.Unix(0, h.now)
				x.s.Position = nthFresh(h.source, h.runs, fresh+i)
			case blockCopies:
				x.s.Copies++
			}
		}
		if block.kind == blockFresh {
			fresh += block.n
		}
	}
}

// nthFresh is the position of the n-th fresh entry of a frame.
func nthFresh(source string, runs []run, n int) hapax.Position {
	for _, r := range runs {
		for i := range r.n {
			if !bit(r.fresh, i) {
				continue
			}
			if n == 0 {
				return hapax.Position{Source: source, Offset: r.first + int64(i)}
			}
			n--
		}
	}
	return hapax.Position{}
}
