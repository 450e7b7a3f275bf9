package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/uniq"
)

// outputs are where the lines of one run go.
type outputs struct {
	files []*os.File
	taken []fs.FileInfo // files that lines go to, standard output among them
}

// pipe is an output that nothing is known of once it is written.
type pipe struct{ io.Writer }

func (pipe) Sync() error { return nil }

// create begins an output anew. With positions, one that the ledger knows is cut
// to the length it had at its last checkpoint, and any other must be empty. Unique
// tells whether what is let through goes there.
func (o *outputs) create(name string, unique bool, p *positions) (*uniq.Output, error) {
	info, err := os.Stat(name)
	if err == nil && info.Mode().IsRegular() && slices.ContainsFunc(o.taken, func(other fs.FileInfo) bool { return os.SameFile(info, other) }) {
		return nil, usage("%s is named for two outputs", name)
	}
	if p == nil || err == nil && !info.Mode().IsRegular() {
		f, err := os.Create(name)
		if err != nil {
			return nil, err
		}
		return &uniq.Output{Name: name, File: pipe{f}}, o.take(f)
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	length := p.outputs[path].length
	f, err := openAt(path, length)
	if err != nil {
		return nil, err
	}
	p.outputs[path] = written{length: length, unique: unique || p.outputs[path].unique}
	open, err := cutTo(f, length)
	if err := errors.Join(err, o.take(f)); err != nil {
		return nil, fmt.Errorf("go on with %s: %w", name, err)
	}
	if info != nil && info.Size() > length {
		p.console.say("%s: cut by %s, which a run that was cut short wrote behind its last checkpoint", name, bytesText(info.Size()-length))
	}
	return &uniq.Output{Name: name, Path: path, File: f, Length: length, Open: open}, nil
}

// take keeps a file to close it, and to know it again.
func (o *outputs) take(f *os.File) error {
	o.files = append(o.files, f)
	info, err := f.Stat()
	o.taken = append(o.taken, info)
	return err
}

// openAt opens a file that must have a length, or creates it if that is 0.
func openAt(path string, length int64) (*os.File, error) {
	if length == 0 {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return nil, err
		}
		return f, vfs.OS().SyncDir(filepath.Dir(path))
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is gone, but the ledger remembers what was in its first %d bytes: "+
			"put it back, or name another file for what is new", path, length)
	}
	return f, err
}

// cutTo cuts f and goes to its end. It tells whether its last line has no "\n".
func cutTo(f *os.File, length int64) (open bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if info.Size() < length {
		return false, fmt.Errorf("it has %d bytes, but the ledger remembers what was in its first %d: "+
			"put it back, or name another file for what is new", info.Size(), length)
	}
	if err := f.Truncate(length); err != nil {
		return false, err
	}
	if _, err := f.Seek(length, io.SeekStart); err != nil || length == 0 {
		return false, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], length-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}

func (o *outputs) close() error {
	var err error
	for _, f := range o.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
