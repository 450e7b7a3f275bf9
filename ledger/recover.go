package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger/cold"
)

// openDir opens the ledger's directory: what it is, what was closed cleanly, and
// the log, which is read from its oldest file to its newest.
func (l *Ledger) openDir() (err error) {
	fsys := l.o.FS
	if l.o.ReadOnly {
		if err := thereIs(fsys, l.dir); err != nil {
			return err
		}
	} else if err := fsys.MkdirAll(l.dir); err != nil {
		return err
	}
	if l.lock, err = fsys.Lock(filepath.Join(l.dir, lockName)); err != nil {
		return err
	}
	j := &journal{fs: fsys, dir: l.dir, snapshot: l.snapshot, repeat: l.repeat, least: l.o.leastLog()}
	j.init(l.o.Durability)
	if j.files, err = listLogs(fsys, l.dir); err != nil {
		return err
	}
	if err := l.readMeta(len(j.files)); err != nil {
		return err
	}
	left, image, err := l.left(j.files)
	if err != nil {
		return err
	}
	if !l.openImage(image) {
		var keys int64
		for _, f := range j.files {
			keys += f.size / 16
		}
		if err := l.newTable(max(l.o.Expect, keys)); err != nil {
			return err
		}
	}
	l.frame.digests = l.o.Digests
	if l.picture != nil {
		l.nudge() // what is not asked for is fetched in the background
	}
	return l.replay(j, left)
}

// listLogs returns the log's files, oldest first.
func listLogs(fsys vfs.FS, dir string) ([]*logFile, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	var files []*logFile
	for _, name := range names {
		stem, ok := strings.CutSuffix(name, logSuffix)
		if !ok {
			continue
		}
		number, err := strconv.ParseUint(stem, 16, 64)
		if err != nil || len(stem) != 16 {
			return nil, fmt.Errorf("%w: %s is no name of a log file: move it away", hapax.ErrCorrupt, filepath.Join(dir, name))
		}
		f := newLogFile(dir, number)
		if filepath.Base(f.path) != name { // such as one in capitals
			return nil, fmt.Errorf("%w: %s is no name of a log file: call it %s, or move it away", hapax.ErrCorrupt, filepath.Join(dir, name), filepath.Base(f.path))
		}
		if f.size, err = fsys.Stat(f.path); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
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
func (l *Ledger) left(files []*logFile) (ending, *image, error) {
	var c clean
	path := filepath.Join(l.dir, cleanName)
	err := readText(l.o.FS, path, &c)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return crashed, nil, nil
	case err != nil:
		return crashed, nil, err
	case c.Newest == 0 && len(files) < 2:
		return unborn, nil, nil
	}
	if err := missing(l.dir, files, c.Files); err != nil {
		return crashed, nil, err
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
		if _, err := l.o.FS.Stat(cold.Path(l.dir, number)); err != nil {
			return crashed, nil, fmt.Errorf("%w: a cold file is gone: restore it from a backup: %w", hapax.ErrCorrupt, err)
		}
	}
	return sealed, c.Image, nil
}

// replay reads the log and makes its newest file ready for more.
func (l *Ledger) replay(j *journal, left ending) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.o.Window.EventTime {
		l.gens.Advance(l.now())
	}
	if err := l.openCold(); err != nil {
		return err
	}
	if l.picture != nil {
		if err := l.restore(); err != nil {
			return err
		}
	}
	var newest segment.Report
	r := replay{l: l, j: j}
	for i, f := range j.files {
		last := i == len(j.files)-1
		if !last && l.picture != nil {
			if err := l.picture.restoreLog(f); err != nil {
				return err
			}
			continue
		}
		report, err := r.file(f, !last || left == sealed)
		if err != nil {
			return err
		}
		if f.size = report.End; report.Sealed {
			f.size = report.Size
		}
		newest = report
		if report.Torn > 0 {
			l.o.Logger.Warn("cut the unfinished end of the log", "file", f.path, "bytes", report.Torn)
		}
	}
	if err := whole(l.dir, j.files, left, r.complete, r.needed); err != nil {
		return err
	}
	if l.picture != nil {
		l.recount()
	}
	l.claims.SkipTo(l.reserved)
	l.claims.Expire(l.now(), l.unclaim)
	l.journal = j
	if l.o.ReadOnly {
		return nil
	}
	return l.reopen(newest, r.complete)
}

// reopen makes the newest file ready for more frames, or begins another.
func (l *Ledger) reopen(newest segment.Report, complete bool) error {
	j := l.journal
	n := len(j.files)
	if n > 0 && complete {
		if err := l.unmarkClean(); err != nil {
			return err
		}
		w, err := segment.OpenAppend(j.fs, j.files[n-1].path, newest, segment.Options{})
		j.w = w
		return err
	}
	if n > 0 {
		// The roll that made it was cut off: what it repeats is in the files
		// before it, and it holds nothing else.
		if err := j.fs.Remove(j.files[n-1].path); err != nil {
			return err
		}
		j.files = j.files[:n-1]
	}
	if err := j.begin(); err != nil {
		return err
	}
	return l.unmarkClean() // of a new ledger: from here on it must have a log
}

// whole reports what is missing of a log that was read, whose newest file has
// its snapshot or not. It knows by the file clean, while there is no log yet, and
// from then on by the newest snapshot.
func whole(dir string, files []*logFile, left ending, complete bool, needed []uint64) error {
	if left == crashed && len(files) == 0 {
		return fmt.Errorf("%w: the log is gone: restore the files %s from a backup", hapax.ErrCorrupt, filepath.Join(dir, "*"+logSuffix))
	}
	if left == crashed && len(files) == 1 && !complete {
		return fmt.Errorf("%w: %s was cut off: restore it from a backup", hapax.ErrCorrupt, files[0].path)
	}
	return missing(dir, files, needed)
}

// missing reports the first of the files needed that is gone.
func missing(dir string, files []*logFile, needed []uint64) error {
	for _, number := range needed {
		if !slices.ContainsFunc(files, func(f *logFile) bool { return f.number == number }) {
			return fmt.Errorf("%w: %s is gone, and holds what is remembered: restore it from a backup",
				hapax.ErrCorrupt, logPath(dir, number))
		}
	}
	return nil
}

// unmarkClean takes the mark of a clean close away, before anything changes, and
// the image with it.
func (l *Ledger) unmarkClean() error {
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
