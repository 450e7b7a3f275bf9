package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/textfile"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// Frame is what is read of a log when it is opened.
type Frame struct {
	Kind    uint8
	Payload []byte // the visitor's until it returns
	File    uint64
	Offset  int64 // of the payload in the file
}

// Open opens the log in dir, or begins one. It hands the newest snapshot and all
// frames behind it to replay, in their order, and where they are to be read from
// now on. Nobody else may have the log open: the caller sees to it.
//
// A log that was closed is gone on with. Of one that was not, what the last frames
// prove to be durable stays where it is; what is behind it is copied into a new
// file, which begins with a snapshot: so Snapshot and Needed are called while Open
// runs, for the frames that replay was given by then. What Open handed to replay is
// durable on return. An unfinished end, of which nobody was told, is cut. Damage is
// an error that names file and offset ([segment.DamageError]); nothing changes then.
func Open(fsys vfs.FS, dir string, o Options, replay func(Frame) error) (*Log, error) {
	if fsys == nil {
		fsys = vfs.OS()
	}
	l := &Log{
		o: o.withDefaults(), dir: dir, fs: fsys,
		r:     NewRoller(RollerOptions{FS: fsys, Dir: dir, Kind: o.Kind, Zeros: true, Segment: o.Segment}),
		files: files{fs: fsys, dir: dir, open: make(map[uint64]*File)},
		calls: make(chan struct{}, 1), syncs: make(chan struct{}, 1),
		stop: make(chan struct{}), stopSync: make(chan struct{}),
	}
	op := opening{l: l, replay: replay}
	if err := op.run(); err != nil {
		if l.w != nil {
			_ = l.w.Abandon() // what failed is said
		}
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	if o.Committed != nil {
		l.r.done = func() {
			if o.Listening == nil || o.Listening() {
				poke(l.syncs)
			}
		}
	}
	l.call()
	if l.w.Size() >= l.next {
		poke(l.calls)
	}
	l.rolling.Go(l.work)
	told := l.Synced() // now: what is synced before the committer first runs is to be told too
	l.syncing.Go(func() { l.commit(told) })
	return l, nil
}

// opening is the opening of a log.
type opening struct {
	l      *Log
	replay func(Frame) error

	found  []Listed
	closed *mark // nil: it was not closed

	newest     *Listed // the newest file with a snapshot; nil: there is none
	report     segment.Report
	completeAt int64    // where its snapshot ends
	begun      int64    // behind that
	older      []Ended  // that it lists
	unfinished []Listed // files behind it, which have none
}

func (op *opening) run() error {
	if err := op.l.fs.MkdirAll(op.l.dir); err != nil {
		return err
	}
	err := op.survey()
	switch {
	case err != nil:
		return err
	case op.newest == nil:
		return op.create()
	case op.closed != nil:
		err = op.goOn()
	default:
		err = op.recover()
	}
	if err != nil {
		return err
	}
	return op.tidy()
}

// survey finds out what there is, and whether all of it is. It changes nothing.
func (op *opening) survey() (err error) {
	l := op.l
	if op.found, err = List(l.fs, l.dir); err != nil {
		return err
	}
	if err := op.readMark(); err != nil {
		return err
	}
	if err := op.find(); err != nil {
		return err
	}
	if op.newest == nil && (l.o.MustExist || op.closed != nil) {
		return fmt.Errorf("%w: the log is gone: restore the files %s from a backup", hapax.ErrCorrupt, filepath.Join(l.dir, "*"+Suffix))
	}
	return op.checkOlder()
}

// readMark reads whether the log was closed, and as what.
func (op *opening) readMark() error {
	var m mark
	switch err := textfile.Read(op.l.fs, markPath(op.l.dir), &m); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	op.closed = &m
	there := false
	for _, f := range op.found {
		switch {
		case f.Number > m.Newest:
			return fmt.Errorf("%w: %s was not there when the log was closed: move it away", hapax.ErrCorrupt, f.Path)
		case f.Number == m.Newest && f.Size != m.Size:
			return fmt.Errorf("%w: %s has %d bytes, and had %d when the log was closed: restore it from a backup",
				hapax.ErrCorrupt, f.Path, f.Size, m.Size)
		case f.Number == m.Newest:
			there = true
		}
	}
	if !there {
		return fmt.Errorf("%w: %s is gone: restore it from a backup", hapax.ErrCorrupt, Path(op.l.dir, m.Newest))
	}
	return nil
}

// find finds the newest file with a snapshot. One without holds nothing that
// anybody was told of.
func (op *opening) find() error {
	for i := len(op.found) - 1; i >= 0 && op.newest == nil; i-- {
		f := op.found[i]
		if err := op.look(f); err != nil {
			return err
		}
		if op.newest == nil {
			op.unfinished = append(op.unfinished, f)
		}
	}
	if op.closed != nil && len(op.unfinished) > 0 {
		return fmt.Errorf("%w: %s has no snapshot: restore it from a backup", hapax.ErrCorrupt, op.unfinished[0].Path)
	}
	return nil
}

// look reads a file, and takes it for the newest if it has a snapshot.
func (op *opening) look(f Listed) error {
	found := false
	report, err := segment.Scan(op.l.fs, f.Path, op.scan(f), func(frame segment.Frame) error {
		if frame.Type != KindComplete {
			return nil
		}
		var err error
		if op.older, err = decodeComplete(frame.Payload, f.Number); err == nil && found {
			err = errComplete
		}
		if err != nil {
			return &segment.DamageError{Path: f.Path, Offset: frame.Offset, Reason: err.Error()}
		}
		found, op.completeAt, op.begun = true, frame.Offset, frame.Next()
		return nil
	})
	if found {
		op.newest, op.report = &f, report
	}
	return err
}

func (op *opening) scan(f Listed) segment.ScanOptions {
	return segment.ScanOptions{
		Kind: op.l.o.Kind, Sequence: f.Number, MaxFrame: op.l.o.Segment.MaxFrame, MustBeSealed: op.closed != nil,
	}
}

// checkOlder demands the files that the newest lists: they were durable before
// anything was written to it.
func (op *opening) checkOlder() error {
	sizes := make(map[uint64]int64, len(op.found))
	for _, f := range op.found {
		sizes[f.Number] = f.Size
	}
	for _, e := range op.older {
		path := Path(op.l.dir, e.Number)
		size, ok := sizes[e.Number]
		if !ok {
			return fmt.Errorf("%w: %s is gone: restore it from a backup", hapax.ErrCorrupt, path)
		}
		if size < e.End {
			return &segment.DamageError{Path: path, Offset: size, Reason: fmt.Sprintf("the file is cut off; it had %d bytes of frames", e.End)}
		}
		r, err := segment.OpenReader(op.l.fs, path, segment.ScanOptions{Kind: op.l.o.Kind, Sequence: e.Number})
		if err != nil {
			return err
		}
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}

// create begins a log.
func (op *opening) create() error {
	if err := op.discard(); err != nil {
		return err
	}
	l, number := op.l, uint64(1)
	if len(op.found) > 0 {
		number += op.found[len(op.found)-1].Number
	}
	w, err := l.r.Create(number)
	if err != nil {
		return err
	}
	l.use(w)
	if _, _, err := l.o.snapshot(w, nil); err != nil {
		return err
	}
	l.begun = w.Size()
	return w.Sync()
}

// use makes w the log's newest file, and its first since the log was opened.
func (l *Log) use(w *segment.Writer) {
	l.w = w
	l.r.GoOn(w)
}

// discard removes the files without a snapshot.
func (op *opening) discard() error {
	for _, f := range op.unfinished {
		if err := op.l.fs.Remove(f.Path); err != nil {
			return err
		}
	}
	return nil
}

// goOn goes on with a log that was closed.
func (op *opening) goOn() error {
	l, f := op.l, *op.newest
	if _, err := segment.Scan(l.fs, f.Path, op.scan(f), op.visit(f)); err != nil {
		return err
	}
	if err := op.unmark(); err != nil {
		return err
	}
	w, err := segment.OpenAppend(l.fs, f.Path, op.report, l.o.Segment)
	if err != nil {
		return err
	}
	l.use(w)
	l.begun, l.older = op.begun, op.older
	return nil
}

// visit hands the frames of a file to the owner.
func (op *opening) visit(f Listed) func(segment.Frame) error {
	return func(frame segment.Frame) error {
		if frame.Type == KindComplete {
			return nil
		}
		return op.hand(f.Number, frame.Offset, frame)
	}
}

// hand hands a frame to the owner, which stands at an offset of a file.
func (op *opening) hand(file uint64, offset int64, frame segment.Frame) error {
	err := op.replay(Frame{Kind: frame.Type, Payload: frame.Payload, File: file, Offset: offset + segment.PayloadAt})
	if err != nil {
		return fmt.Errorf("%s at offset %d: %w", Path(op.l.dir, file), offset, err)
	}
	return nil
}

// unmark takes the mark of a clean close away, before anything of the log changes.
func (op *opening) unmark() error {
	err := op.l.fs.Remove(markPath(op.l.dir))
	if err == nil {
		err = op.l.fs.SyncDir(op.l.dir)
	}
	return err
}

// recover goes on with a log that was not closed, in a new file. Until all of that
// is durable, what is there stays as it is: who comes after a kill finds the same.
func (op *opening) recover() error {
	if err := op.discard(); err != nil {
		return err
	}
	l := op.l
	w, err := l.r.Create(op.found[len(op.found)-1].Number + 1)
	if err != nil {
		return err
	}
	if err := op.fill(w); err != nil {
		return errors.Join(err, w.Abandon(), l.fs.Remove(w.Path())) // it would take room
	}
	return nil
}

// fill makes w the newest file: the state up to what is sure to be durable, then a
// copy of the frames behind that, and then that it is complete.
func (op *opening) fill(w *segment.Writer) error {
	l, f := op.l, *op.newest
	older, from := op.older, op.report.Synced()
	if from <= op.completeAt {
		from = segment.FirstFrame // all of it is copied, the snapshot too
	} else {
		o := op.scan(f)
		o.End = from
		r, err := segment.Scan(l.fs, f.Path, o, op.visit(f))
		if err == nil && r.End != from {
			err = &segment.DamageError{Path: f.Path, Offset: r.End, Reason: "the file changed while it was read"}
		}
		if err == nil {
			err = l.o.state(w)
		}
		if err != nil {
			return err
		}
		older = append(older, Ended{f.Number, r.Ending()})
	}
	if err := op.copy(w, from); err != nil {
		return err
	}
	kept, _, err := l.o.complete(w, older)
	if err == nil {
		err = w.Sync()
	}
	if err != nil {
		return err
	}
	l.use(w)
	l.begun, l.older = w.Size(), kept
	return nil
}

// copy appends the frames of the newest file from an offset on to another.
func (op *opening) copy(w *segment.Writer, from int64) error {
	r, err := segment.OpenReader(op.l.fs, op.newest.Path, op.scan(*op.newest))
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // it was only read
	var buf []byte
	for at := from; at < op.report.End; {
		frame, err := r.FrameAt(at, buf)
		if err != nil {
			return err
		}
		at = frame.Next()
		if cap(frame.Payload) > cap(buf) {
			buf = make([]byte, segment.FrameSize(2*len(frame.Payload)))
		}
		if frame.Type == KindComplete {
			continue
		}
		offset, err := w.Append(frame.Type, frame.Payload)
		if err == nil {
			err = op.hand(w.Header().Sequence, offset, frame)
		}
		if err == nil && w.Buffered() > op.l.o.MaxBuffered {
			err = w.Flush()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tidy deletes the files that the newest does not list, and cuts off what is behind
// the frames of the others: zeros written ahead, and what was copied.
func (op *opening) tidy() error {
	ends := map[uint64]int64{}
	for _, e := range op.l.older {
		ends[e.Number] = e.End
	}
	newest := op.l.w.Header().Sequence
	discarded := map[uint64]bool{}
	for _, f := range op.unfinished {
		discarded[f.Number] = true
	}
	for _, f := range op.found {
		end, listed := ends[f.Number]
		var err error
		switch {
		case f.Number == newest || discarded[f.Number]:
		case !listed:
			err = op.l.fs.Remove(f.Path)
		case f.Size > end:
			err = cut(op.l.fs, f.Path, end)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cut cuts a file that is longer.
func cut(fsys vfs.FS, path string, size int64) error {
	file, err := fsys.OpenRW(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(size), file.Close())
}
