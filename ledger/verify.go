package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/textfile"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

// Report is what [Verify] read.
type Report struct {
	Info       Info
	Files      int   // of the log and cold ones
	Frames     int64 // of the log
	Identities int64 // first copies in the log and keys of cold files; an identity may be in both
	Bytes      int64 // of all files
	Torn       int64 // bytes at the end of the log that were never acknowledged: the next Open cuts them
	Clean      bool  // the ledger was closed, and every byte is under a checksum that proves it
}

// Verify reads every byte of the ledger in dir, which nobody may have open but
// readers. It changes nothing, needs no right to write, and takes the memory of a few
// buffers. Of the file LOCK it is as with [Options.ReadOnly].
//
// A nil error means that Open finds nothing to refuse. Of a ledger that was
// closed it means more: no byte of its files has changed since. Of one that was
// not, what the last sync did not cover may be Torn. Any other error names the
// file and what is wrong with it; damage is a [hapax.ErrCorrupt].
//
// A nil file system is the operating system's.
func Verify(fsys vfs.FS, dir string) (Report, error) {
	if fsys == nil {
		fsys = vfs.OS()
	}
	v := verifier{fs: fsys, dir: dir, check: logCheck{dir: dir}}
	if err := v.run(); err != nil {
		return v.report, fmt.Errorf("verify ledger %s: %w", dir, err)
	}
	return v.report, nil
}

// verifier is one Verify under way.
type verifier struct {
	fs     vfs.FS
	dir    string
	report Report

	check     logCheck
	producers *window.Sequences // checks what the log remembers of them; nil before the first
	disorder  uint64            // their window

	// Of the file of the log that is read.
	gens   map[uint64]bool // introduced
	number uint64          // its own
}

func (v *verifier) run() error {
	if err := thereIs(v.fs, v.dir); err != nil {
		return err
	}
	lock, err := lockDir(v.fs, v.dir, true)
	if err != nil {
		return err
	}
	err = v.files()
	if lock != nil {
		err = errors.Join(err, lock.Close())
	}
	return err
}

// files checks one file after the other.
func (v *verifier) files() error {
	d := directory{v.fs, v.dir}
	if err := v.meta(d); err != nil {
		return err
	}
	logs, err := listLogs(v.fs, v.dir)
	if err != nil {
		return err
	}
	left, table, err := d.left(logs)
	if err != nil {
		return err
	}
	v.report.Clean = left == sealed
	for i, f := range logs {
		if err := v.log(f, i == len(logs)-1 && left == sealed); err != nil {
			return err
		}
	}
	if err := v.check.whole(logs, left); err != nil {
		return err
	}
	if err := v.image(table); err != nil {
		return err
	}
	return v.others()
}

// image checks every block of the table's image, if there is one.
func (v *verifier) image(m *image) error {
	if m == nil {
		return nil
	}
	p := picture{image: m}
	defer p.close() //nolint:errcheck // it was only read
	if err := p.open(v.fs, filepath.Join(v.dir, imageName)); err != nil {
		return err
	}
	block := make([]byte, m.Size)
	for i := range m.Layout.CountBlocks() {
		if err := p.read(i, block); err != nil {
			return err
		}
	}
	return nil
}

// meta checks what the ledger says of itself, and its secret.
func (v *verifier) meta(d directory) error {
	var m meta
	path := filepath.Join(v.dir, metaName)
	if err := textfile.Read(v.fs, path, &m); err != nil {
		return err
	}
	if m.Format > format {
		return newer(path, m.Format)
	}
	var err error
	if v.report.Info, err = m.info(); err == nil {
		err = v.report.Info.Window.Validate()
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w: restore it from a backup", hapax.ErrCorrupt, path, err)
	}
	h, err := d.secret()
	if err != nil {
		return err
	}
	if m.Key != keyOf(h) {
		return fmt.Errorf("%w: %s is another ledger's: restore it from a backup", hapax.ErrCorrupt, filepath.Join(v.dir, secretName))
	}
	return nil
}

// log checks a file of the log and every frame of it.
func (v *verifier) log(f *logFile, mustBeSealed bool) error {
	v.gens, v.number = make(map[uint64]bool), f.number
	o := segment.ScanOptions{Kind: logKind, Sequence: f.number, MustBeSealed: mustBeSealed}
	report, err := segment.Scan(v.fs, f.path, o, func(frame segment.Frame) error {
		if err := v.frame(frame); err != nil {
			return fmt.Errorf("%s at offset %d: %w: restore it from a backup", f.path, frame.Offset, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.end(report)
	v.report.Files++
	v.report.Frames += report.Frames
	v.report.Torn += report.Torn
	return v.check.next(f, report)
}

// frame checks a frame as replay does, and what replay takes for granted.
func (v *verifier) frame(f segment.Frame) error {
	b := &reader{b: f.Payload}
	switch f.Type {
	case frameGeneration:
		v.gens[readGeneration(b, v.report.Info.Window).ID] = true
	case frameAdmit:
		v.admit(b)
	case frameConfirm:
		if c := readCheckpoint(b); c.Offset < 0 {
			b.fail("position")
		}
	case frameSource:
		if _, s := readSource(b); s.confirmed < -1 {
			b.fail("position")
		}
	case frameClaim:
		readClaim(b)
	case frameRelease:
		b.fingerprint()
	case frameCommit:
		_, gen, _ := readCommit(b)
		v.introduced(b, gen)
		v.report.Identities++
	case frameForget:
		b.fingerprint()
		b.uvarint("file")
	case frameHidden:
		b.fingerprint()
		b.uvarint("file")
	case frameTokens:
		b.uvarint("tokens")
	case frameSnapshot:
		s := readSnapshot(b, v.number)
		checkTime(b, s.watermark, v.report.Info.Window)
		v.check.snapshot(s)
	case frameReceipt:
		b.fingerprint()
		b.string("receipt")
	case frameEvicted:
		b.uvarint("generation")
		b.uvarint("file")
		b.uvarint("identities")
	case frameSequence:
		v.sequences(b)
	default:
		return fmt.Errorf("%w: frame of unknown type %d", hapax.ErrCorrupt, f.Type)
	}
	return b.end()
}

// introduced checks that the file has said what the generation is.
func (v *verifier) introduced(b *reader, gen uint64) {
	if b.err == nil && !v.gens[gen] {
		b.fail("generation that is known")
	}
}

func (v *verifier) admit(b *reader) {
	h := readAdmit(b)
	checkTime(b, h.now, v.report.Info.Window)
	want := h.flags & (admitPositions | admitFollows)
	if v.report.Info.Digests {
		want |= admitDigests
	}
	if h.flags != want {
		b.fail("known flags")
	}
	v.prints(b, &h)
	for b.err == nil && len(b.b) > 0 {
		block := b.block(h.flags)
		v.introduced(b, block.gen)
		if block.kind == blockFresh {
			v.report.Identities += int64(block.n)
		}
	}
}

// prints checks that each fresh position of a frame has its key in the blocks.
func (v *verifier) prints(b *reader, h *admitHead) {
	if h.follows {
		return // copies have none
	}
	prints := h.printsOf(b)
	for _, r := range h.runs {
		for i := 0; i < r.n && b.err == nil; i++ {
			if _, ok := prints.next(bit(r.fresh, i)); !ok {
				b.fail("key of each position")
			}
		}
	}
}

func (v *verifier) sequences(b *reader) {
	h := readSequences(b, v.number)
	disorder := h.disorder
	checkRuns(b, h.source, h.runs)
	rules := window.SequenceRules{Disorder: int(min(disorder, window.MaxDisorder+1)), Producers: 1}
	if b.err == nil && rules.Validate() == nil && v.producers == nil {
		v.disorder = disorder
		v.producers = window.NewSequences(rules, func(words int) ([]uint64, error) { return make([]uint64, words), nil }, false)
	}
	if v.producers == nil || disorder != v.disorder {
		b.fail("window of the ledger")
	}
	p := window.Producer{Numbers: make([]uint64, max(v.disorder/64, 1))}
	for b.err == nil && len(b.b) > 0 {
		readProducer(b, &p)
		// There is room for one: all others are only checked.
		if err := v.producers.Restore(p); b.err == nil && errors.Is(err, hapax.ErrCorrupt) {
			b.err = err
		}
	}
}

// others checks the cold files and counts the bytes of all files.
func (v *verifier) others() error {
	names, err := v.fs.List(v.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := filepath.Join(v.dir, name)
		size, err := v.fs.Stat(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		v.report.Bytes += size
		if strings.HasSuffix(name, cold.Suffix) {
			if err := v.cold(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *verifier) cold(path string) error {
	f, err := cold.Open(v.fs, path)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Check(), f.Close()); err != nil {
		return err
	}
	if path != cold.Path(v.dir, f.Number) {
		return fmt.Errorf("%w: %s was written as %s: give it its name back", hapax.ErrCorrupt, path, cold.Path(v.dir, f.Number))
	}
	v.report.Files++
	v.report.Identities += f.Keys
	return nil
}
