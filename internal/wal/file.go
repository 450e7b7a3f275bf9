package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// maxIdle is how many files that nobody reads stay open.
const maxIdle = 256

// File is a file of a log, open for reading.
type File struct {
	of     *files
	number uint64
	file   vfs.File
	refs   int  // of.mu guards it
	gone   bool // it goes with its last reader; of.mu guards it
}

// ReadAt reads what is synced; offsets are those of positions.
func (f *File) ReadAt(b []byte, offset int64) (int, error) { return f.file.ReadAt(b, offset) }

// System is the operating system's file, nil if there is none. Its cursor is
// shared by all readers: it is for calls that take an offset.
func (f *File) System() *os.File { return vfs.SystemFile(f.file) }

// Release ends the reading that Log.File began.
func (f *File) Release() {
	s := f.of
	s.mu.Lock()
	f.refs--
	gone := f.gone
	last := f.refs == 0 && (gone || s.closed || len(s.open) > maxIdle)
	if last && !gone {
		delete(s.open, f.number)
	}
	s.mu.Unlock()
	if !last {
		return
	}
	_ = f.file.Close() // it was only read
	if gone {
		_ = s.fs.Remove(Path(s.dir, f.number)) // else opening the log will
		s.forget(f.number)
	}
}

// files are a log's files as its readers have them.
type files struct {
	fs  vfs.FS
	dir string

	mu     sync.Mutex
	open   map[uint64]*File
	closed bool
}

func (s *files) acquire(number uint64) (*File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.open[number]
	switch {
	case s.closed:
		return nil, fmt.Errorf("open file %d of the log: %w", number, fs.ErrClosed)
	case f != nil && f.gone:
		return nil, fmt.Errorf("open file %d of the log: %w", number, fs.ErrNotExist)
	case f == nil:
		file, err := s.fs.Open(Path(s.dir, number))
		if err != nil {
			return nil, fmt.Errorf("open file %d of the log: %w", number, err)
		}
		f = &File{of: s, number: number, file: file}
		s.open[number] = f
	}
	f.refs++
	return f, nil
}

// remove deletes files, each now or when its last reader is done with it.
func (s *files) remove(numbers []uint64) error {
	for _, number := range numbers {
		if s.leave(number) {
			continue
		}
		if err := s.fs.Remove(Path(s.dir, number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete a file of the log that is not needed any more: %w", err)
		}
		s.forget(number)
	}
	return nil
}

// leave lets nobody open a file any more, and tells whether somebody reads it, who
// will delete it.
func (s *files) leave(number uint64) (read bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.open[number]
	if f == nil {
		s.open[number] = &File{gone: true}
		return false
	}
	f.gone = true
	if f.refs == 0 {
		_ = f.file.Close() // it was only read
	}
	return f.refs > 0
}

func (s *files) forget(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, number)
}

// closeAll closes what nobody reads, and leaves the rest to its readers.
func (s *files) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for number, f := range s.open {
		if f.refs == 0 && !f.gone {
			delete(s.open, number)
			_ = f.file.Close() // it was only read
		}
	}
}
