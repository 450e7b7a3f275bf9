package peer

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/hapaxmq/hapax/bench/stream"
)

// RecordSize is how many bytes a File writes for one id.
const RecordSize = 100

// File is the physical reference of durability: a loop of write and fdatasync.
// It knows nothing and answers nothing: all ids are new to it. Not safe for
// concurrent use.
type File struct {
	f      *os.File
	record [RecordSize]byte
	at     int64
	size   int64 // pre-written, 0: it grows
}

// OpenFile makes the file at path, which grows with every write, or of size
// zero bytes, written and synced beforehand and overwritten in turn.
func OpenFile(path string, size int64) (*File, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create file: %w", err)
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros, at); err != nil {
			return nil, fmt.Errorf("pre-write file: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("sync file: %w", err)
	}
	return &File{f: f, size: size}, nil
}

// TakeOne writes a record with the id and returns once it is on disk.
func (f *File) TakeOne(id *stream.ID) (fresh bool, err error) {
	copy(f.record[:], id[:])
	if f.size > 0 && f.at+RecordSize > f.size {
		f.at = 0
	}
	if _, err := f.f.WriteAt(f.record[:], f.at); err != nil {
		return false, fmt.Errorf("write: %w", err)
	}
	f.at += RecordSize
	if err := unix.Fdatasync(int(f.f.Fd())); err != nil {
		return false, fmt.Errorf("fdatasync: %w", err)
	}
	return true, nil
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }
