package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

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
		if _, err := fsys.Stat(filepath.Join(l.dir, metaName)); err != nil {
			return fmt.Errorf("there is no ledger: %w", err)
		}
	} else if err := fsys.MkdirAll(l.dir); err != nil {
		return err
	}
	if l.lock, err = fsys.Lock(filepath.Join(l.dir, lockName)); err != nil {
		return err
	}
	j := &journal{fs: fsys, dir: l.dir, durability: l.o.Durability, snapshot: l.snapshot, repeat: l.repeat}
	j.synced = sync.NewCond(&j.mu)
	if j.files, err = listLogs(fsys, l.dir); err != nil {
		return err
	}
	if err := l.readMeta(len(j.files)); err != nil {
		return err
	}
	sealed, err := l.closedCleanly(j.files)
	if err != nil {
		return err
	}
	var keys int64
	for _, f := range j.files {
		keys += f.size / 16
	}
	if err := l.newTable(max(l.o.Expect, keys)); err != nil {
		return err
	}
	l.frame.digests = l.o.Digests
	if err := l.replay(j, sealed); err != nil {
		return err
	}
	return nil
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
		if f.size, err = fsys.Stat(f.path); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// closedCleanly tells whether the ledger was closed, and so every file sealed.
func (l *Ledger) closedCleanly(files []*logFile) (bool, error) {
	var c clean
	path := filepath.Join(l.dir, cleanName)
	err := readText(l.o.FS, path, &c)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if n := len(files); n == 0 || files[n-1].number != c.Newest || files[n-1].size != c.Size {
		return false, fmt.Errorf("%w: the newest file of the log is not the one that was closed, %s of %d bytes: restore it from a backup",
			hapax.ErrCorrupt, logPath(l.dir, c.Newest), c.Size)
	}
	for i, number := range c.Files {
		if len(files) != len(c.Files) || files[i].number != number {
			return false, fmt.Errorf("%w: the log's files are not those that were closed: restore %s from a backup", hapax.ErrCorrupt, logPath(l.dir, number))
		}
	}
	for _, number := range c.Cold {
		if _, err := l.o.FS.Stat(cold.Path(l.dir, number)); err != nil {
			return false, fmt.Errorf("%w: a cold file is gone: restore it from a backup: %w", hapax.ErrCorrupt, err)
		}
	}
	return true, nil
}

// replay reads the log and makes its newest file ready for more.
func (l *Ledger) replay(j *journal, sealed bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.o.Window.EventTime {
		l.gens.Advance(l.now())
	}
	if err := l.openCold(); err != nil {
		return err
	}
	var newest segment.Report
	r := replay{l: l, j: j}
	for i, f := range j.files {
		last := i == len(j.files)-1
		report, err := r.file(f, !last || sealed)
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
	if err := missing(l.dir, j.files, r.needed); err != nil {
		return err
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
	if err := l.unmarkClean(); err != nil {
		return err
	}
	n := len(j.files)
	if n > 0 && !complete {
		// The roll that made it was cut off: what it repeats is in the files
		// before it, and it holds nothing else.
		if err := j.fs.Remove(j.files[n-1].path); err != nil {
			return err
		}
		j.files = j.files[:n-1]
		return j.begin()
	}
	if n > 0 {
		w, err := segment.OpenAppend(j.fs, j.files[n-1].path, newest, segment.Options{})
		if err != nil {
			return err
		}
		j.w = w
		return nil
	}
	return j.begin()
}

// missing reports the first file of the log that is needed and gone. Which ones
// are needed is in the newest snapshot: a file goes only when it is not in there.
func missing(dir string, files []*logFile, needed []uint64) error {
	for _, number := range needed {
		if !slices.ContainsFunc(files, func(f *logFile) bool { return f.number == number }) {
			return fmt.Errorf("%w: %s is gone, and held what is still remembered: restore it from a backup",
				hapax.ErrCorrupt, logPath(dir, number))
		}
	}
	return nil
}

// unmarkClean takes the mark of a clean close away, before anything changes.
func (l *Ledger) unmarkClean() error {
	err := l.o.FS.Remove(filepath.Join(l.dir, cleanName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return l.o.FS.SyncDir(l.dir)
}
