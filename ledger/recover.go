package ledger

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/textfile"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/internal/wal"
	"github.com/hapaxmq/hapax/ledger/cold"
)

// opening is a ledger's directory that is being opened.
type opening struct {
	directory
	meta  meta
	files []*logFile
}

// enter locks the ledger's directory, and finds out what it is: of what form too.
func (l *Ledger) enter() (o opening, err error) {
	fsys := l.o.FS
	if l.o.ReadOnly {
		if err := thereIs(fsys, l.dir); err != nil {
			return o, err
		}
	} else if err := fsys.MkdirAll(l.dir); err != nil {
		return o, err
	}
	if l.lock, err = lockDir(fsys, l.dir, l.o.ReadOnly); err != nil {
		return o, err
	}
	o.directory = directory{fsys, l.dir}
	if o.files, err = listLogs(fsys, l.dir); err != nil {
		return o, err
	}
	if o.meta, l.hasher, err = o.open(&l.o, len(o.files), l.now); err != nil {
		return o, err
	}
	l.o.form = o.meta.Form.under(l.o.Window)
	return o, nil
}

// read reads what was closed cleanly, and the log, from its oldest file to its newest.
func (o opening) read(l *Ledger) error {
	j := &journal{
		snapshot: l.snapshot, least: l.o.leastLog(),
		repeat: func(j *journal) (int64, error) { return l.sequences.repeat(j) }, // there may be none yet
		left:   make(chan struct{}, 1),
		dir:    l.dir, durability: l.o.Durability, segment: segment.Options{Before: l.o.Follows},
		files: o.files,
	}
	j.Roller = wal.NewRoller(wal.RollerOptions{
		FS: o.fs, Dir: l.dir, Kind: logKind, Zeros: l.o.Durability == Synced, Segment: j.segment,
	})
	b := bounds{l: l, meta: o.meta, want: l.o.Window}
	if err := b.former(); err != nil {
		return err
	}
	left, image, err := o.left(j.files)
	if err != nil {
		return err
	}
	if !l.openImage(image) {
		if err := l.hot.newTable(max(l.o.Expect, keysIn(j.files, left))); err != nil {
			return err
		}
	}
	l.frame.digests = l.o.Digests
	if l.picture != nil {
		l.nudge() // what is not asked for is fetched in the background
	}
	r := replay{l: l, j: j, check: logCheck{dir: l.dir}, asLeft: b.change()}
	if err := r.run(left); err != nil {
		return err
	}
	return b.set(o.directory)
}

// lockDir keeps other processes out of a ledger's directory, or, of a reader, those
// that would write to it. A reader needs no right to write: where the file LOCK is
// missing, as in a copy, and cannot be made, nobody has the ledger open, and it goes
// on without a lock, which is nil.
func lockDir(fsys vfs.FS, dir string, reader bool) (io.Closer, error) {
	path := filepath.Join(dir, lockName)
	if reader {
		lock, err := fsys.LockShared(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return lock, err
		}
	}
	lock, err := fsys.Lock(path)
	if reader && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)) {
		return nil, nil
	}
	return lock, err
}

// listLogs returns the log's files, oldest first.
func listLogs(fsys vfs.FS, dir string) ([]*logFile, error) {
	found, err := wal.List(fsys, dir)
	if err != nil {
		return nil, err
	}
	var files []*logFile
	for _, has := range found {
		f := newLogFile(dir, has.Number)
		f.size = has.Size
		files = append(files, f)
	}
	return files, nil
}

// keysIn is how many identities may be in files. After a crash the newest two may
// end in zeros: what these could be is left to the table to grow for.
func keysIn(files []*logFile, left ending) (keys int64) {
	for i, f := range files {
		size := f.size
		if left == crashed && i >= len(files)-2 {
			size = max(0, size-wal.MaxReserve)
		}
		keys += size / 16
	}
	return keys
}

// ending is how a ledger was left.
type ending uint8

const (
	crashed ending = iota // its log is open
	sealed                // closed: every file is as it was then
	unborn                // made, but the first file of its log was not
)

// left tells how the ledger was left, and with what image, and checks the files it
// was closed with.
func (d directory) left(files []*logFile) (ending, *image, error) {
	var c clean
	path := filepath.Join(d.path, cleanName)
	err := textfile.Read(d.fs, path, &c)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return crashed, nil, nil
	case err != nil:
		return crashed, nil, err
	case c.Newest == 0 && len(files) < 2:
		return unborn, nil, nil
	}
	for _, number := range c.Files {
		if numbered(files, number) == nil {
			return crashed, nil, missing(d.path, number)
		}
	}
	for _, f := range files {
		switch {
		case !slices.Contains(c.Files, f.number):
			return crashed, nil, fmt.Errorf("%w: %s was not there when the ledger was closed: move it away", hapax.ErrCorrupt, f.path)
		case f.number == c.Newest && f.size != c.Size:
			return crashed, nil, fmt.Errorf("%w: %s has %d bytes, and had %d when the ledger was closed: restore it from a backup",
				hapax.ErrCorrupt, f.path, f.size, c.Size)
		}
	}
	for _, number := range c.Cold {
		if _, err := d.fs.Stat(cold.Path(d.path, number)); err != nil {
			return crashed, nil, fmt.Errorf("%w: a cold file is gone: restore it from a backup: %w", hapax.ErrCorrupt, err)
		}
	}
	return sealed, c.Image, nil
}

// run reads the log and makes its newest file ready for more.
func (r *replay) run(left ending) error {
	l, j := r.l, r.j
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.o.Window.EventTime && !r.asLeft {
		l.gens.Advance(l.now())
	}
	l.publish() // the places of claims are taken, whatever comes before the first generation
	if err := (&coldOpening{l: l}).run(); err != nil {
		return err
	}
	if l.picture != nil {
		if err := l.restore(); err != nil {
			return err
		}
	}
	if err := r.log(left); err != nil {
		return err
	}
	if r.check.unfinished != nil {
		j.files = j.files[:len(j.files)-1]
	}
	if l.picture != nil {
		l.recount()
	}
	l.claims.SkipTo(l.claims.reserved)
	l.claims.Expire(l.now(), l.hot.unclaim)
	j.leave(l.gens)
	l.journal = j
	if l.o.ReadOnly {
		return nil
	}
	if err := r.reopen(); err != nil {
		l.failed = err // the files may not be what a clean close would say
		return err
	}
	return nil
}

// log reads the log's files, the oldest first.
func (r *replay) log(left ending) error {
	files, picture := r.j.files, r.l.picture
	for i, f := range files {
		last := i == len(files)-1
		if !last && picture != nil {
			if err := picture.restoreLog(f); err != nil {
				return err
			}
			continue
		}
		report, err := r.file(f, last && left == sealed)
		if err != nil {
			return err
		}
		f.end(report)
		if err := r.check.next(f, report); err != nil {
			return err
		}
	}
	if err := r.check.whole(files, left); err != nil {
		return err
	}
	if torn := r.check.report.Torn; torn > 0 {
		r.l.o.Logger.Warn("cut the unfinished end of the log", "file", r.check.newest.path, "bytes", torn)
	}
	return nil
}

// reopen makes the newest file with a snapshot ready for more frames, or begins
// the first.
func (r *replay) reopen() error {
	j, c := r.j, &r.check
	if c.unfinished != nil {
		// It was made ahead, or the roll to it was cut off: it holds nothing, or
		// repeats what is in the files before it.
		if err := r.l.o.FS.Remove(c.unfinished.path); err != nil {
			return err
		}
	}
	if c.newest == nil {
		if err := j.begin(); err != nil {
			return err
		}
		return r.unmarkClean() // of a new ledger: from here on it must have a log
	}
	if err := r.unmarkClean(); err != nil {
		return err
	}
	w, err := segment.OpenAppend(r.l.o.FS, c.newest.path, c.report, j.segment)
	if err != nil {
		return err
	}
	j.GoOn(w)
	j.w, j.opened = w, w.Size()
	return j.tidy(r.l.o.FS, c.needed)
}

// logCheck finds out, file by file, whether a log is whole.
type logCheck struct {
	dir        string
	complete   bool           // the file that is being read has a snapshot
	newest     *logFile       // that has one; nil: none
	report     segment.Report // on it
	needed     []fileEnding   // the files that it lists
	unfinished *logFile       // the file behind it, which has none; nil: none
}

// fileEnding is what a snapshot says of a file before it.
type fileEnding struct {
	number uint64
	segment.Ending
}

// snapshot takes note of the end of a snapshot in the file that is being read.
func (c *logCheck) snapshot(s logSnapshot) { c.complete, c.needed = true, s.needed }

// next takes note of what was read of a file. Before any frame was written to it,
// all of the file before it was durable.
func (c *logCheck) next(f *logFile, r segment.Report) error {
	complete := c.complete
	c.complete = false
	switch {
	case c.unfinished != nil:
		return c.unfinished.begunWithout()
	case r.Frames > 0 && c.report.Torn > 0:
		return fmt.Errorf("%w: %s at offset %d: no frame, and the file was whole when the next was begun: restore it from a backup",
			hapax.ErrCorrupt, c.newest.path, c.report.End)
	case !complete:
		c.unfinished = f
		return nil
	}
	c.newest, c.report = f, r
	return nil
}

func (f *logFile) begunWithout() error {
	return fmt.Errorf("%w: %s does not begin with a snapshot: restore it from a backup", hapax.ErrCorrupt, f.path)
}

// end notes where a file ends that was read.
func (f *logFile) end(r segment.Report) {
	if f.size, f.chain = r.End, r.Ending().Chain; r.Sealed {
		f.size = r.Size
	}
}

// whole reports what is missing of a log that was read. It knows by the file
// clean, while there is no log yet, and from then on by the newest snapshot.
func (c *logCheck) whole(files []*logFile, left ending) error {
	switch {
	case left == crashed && len(files) == 0:
		return fmt.Errorf("%w: the log is gone: restore the files %s from a backup", hapax.ErrCorrupt, filepath.Join(c.dir, "*"+wal.Suffix))
	case left == crashed && c.newest == nil:
		return fmt.Errorf("%w: %s was cut off: restore it from a backup", hapax.ErrCorrupt, c.unfinished.path)
	case left == sealed && c.unfinished != nil:
		return c.unfinished.begunWithout()
	}
	for _, want := range c.needed {
		f := numbered(files, want.number)
		if f == nil {
			return missing(c.dir, want.number)
		}
		if f.chain == 0 {
			f.chain = want.Chain // it was not read
		}
		if f.size != want.End || f.chain != want.Chain {
			return fmt.Errorf("%w: %s has frames up to %d, and when the next was begun it had others, up to %d: restore it from a backup",
				hapax.ErrCorrupt, f.path, f.size, want.End)
		}
	}
	return nil
}

// numbered is the file with a number, nil if there is none.
func numbered(files []*logFile, number uint64) *logFile {
	for _, f := range files {
		if f.number == number {
			return f
		}
	}
	return nil
}

func missing(dir string, number uint64) error {
	return fmt.Errorf("%w: %s is gone, and holds what is remembered: restore it from a backup", hapax.ErrCorrupt, wal.Path(dir, number))
}

// tidy does what the background would have done had it not been stopped: it deletes
// the files that the newest does not list, and cuts off zeros behind the others.
func (j *journal) tidy(fsys vfs.FS, needed []fileEnding) error {
	var kept, gone []*logFile
	for i, f := range j.files {
		listed := slices.ContainsFunc(needed, func(e fileEnding) bool { return e.number == f.number })
		switch {
		case i == len(j.files)-1:
			kept = append(kept, f)
		case !listed:
			gone = append(gone, f)
		default:
			kept = append(kept, f)
			if err := f.cut(fsys); err != nil {
				return err
			}
		}
	}
	j.files = kept
	return j.Remove(pathsOf(gone))
}

// cut cuts off what is behind the frames of a file that is not the newest.
func (f *logFile) cut(fsys vfs.FS) error {
	if size, err := fsys.Stat(f.path); err != nil || size == f.size {
		return err
	}
	file, err := fsys.OpenRW(f.path)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(f.size), file.Close())
}

// unmarkClean takes the mark of a clean close away, before anything of the log
// changes, and the image with it.
func (r *replay) unmarkClean() error {
	l := r.l
	err := l.o.FS.Remove(filepath.Join(l.dir, cleanName))
	if err == nil {
		err = l.o.FS.SyncDir(l.dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := l.o.FS.Remove(filepath.Join(l.dir, imageName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.o.Logger.Warn("an image of the table that is out of date stays until the next close", "dir", l.dir, "error", err)
	}
	return nil
}
