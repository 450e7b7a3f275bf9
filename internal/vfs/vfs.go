// Package vfs is the one door to the file system, in three forms:
//
//	OS     the operating system's
//	Mem    in memory, and able to show what a disk may hold after power loss
//	Fault  around either: counts, records and fails operations on command
//
// It offers what an append-only log needs and no more. What it promises is what
// the weakest of the supported systems promises:
//
//   - Bytes are durable once [File.Sync] returned nil after they were written.
//   - A name is durable once [FS.SyncDir] of its directory returned nil after
//     it was made, and it may come back or go until then.
//   - A rename is atomic: after power loss it happened or it did not.
//   - After a failed Sync nothing is known of what was written since the last
//     good one, and syncing again proves nothing.
//
// Paths are the operating system's, as package filepath builds them. Errors
// wrap those of package io/fs ([fs.ErrNotExist], [fs.ErrExist], [fs.ErrClosed])
// and the system's own error numbers.
package vfs

import (
	"errors"
	"fmt"
	"io"
	"syscall"
)

// FS is a file system. All methods may be called from several goroutines.
type FS interface {
	// Create makes an empty file for reading and writing, for its owner only
	// (mode 0600). It fails if the name is taken.
	Create(name string) (File, error)
	// Open opens an existing file for reading.
	Open(name string) (File, error)
	// OpenRW opens an existing file for reading and writing.
	OpenRW(name string) (File, error)

	// Remove removes a file or an empty directory.
	Remove(name string) error
	// Rename moves a file, replacing one that has the new name. Both names are
	// in directories that exist.
	Rename(oldName, newName string) error
	// MkdirAll makes a directory and those above it that are missing (mode
	// 0700). They are durable on return. It is no error if dir exists.
	MkdirAll(dir string) error

	// List returns the names in a directory, sorted, without their path.
	List(dir string) ([]string, error)
	// Stat returns the size of a file in bytes.
	Stat(name string) (size int64, err error)
	// Free returns the bytes that the owner of the process may still write in
	// the file system that holds dir.
	Free(dir string) (int64, error)

	// SyncDir makes all names created, renamed and removed in dir durable.
	SyncDir(dir string) error
	// Lock takes the exclusive lock of the named file, making the file if it is
	// missing. It never waits: a lock held by any process, this one included,
	// is [ErrLocked]. Closing lets go of it; so does the end of the process.
	// The file stays.
	Lock(name string) (io.Closer, error)
	// LockShared takes a lock of the named file that others may share, and that
	// keeps an exclusive one out. It changes nothing, and wants no more than to
	// read the file, which must be there. Else it is as Lock.
	LockShared(name string) (io.Closer, error)
}

// File is an open file. ReadAt, WriteAt, Size and Sync may run at the same
// time; a Sync covers the writes that returned before it was called.
type File interface {
	io.ReaderAt
	io.WriterAt

	// Size returns the size in bytes.
	Size() (int64, error)
	// Truncate cuts the file, or extends it with zeros.
	Truncate(size int64) error
	// Sync makes what was written and the size durable: fdatasync on Linux,
	// F_FULLFSYNC on macOS, FlushFileBuffers on Windows.
	Sync() error
	// Close closes the file without syncing it.
	Close() error
	// Name returns the path the file was opened by.
	Name() string
}

// ErrLocked is what [FS.Lock] returns, with the file's name, for a lock that is
// held.
var ErrLocked = errors.New("it is open already, in another process or a second time in this one")

// IsFull tells whether an error says that the disk is full, or the owner's share of
// it: with room made, or fewer bytes, what failed may succeed.
func IsFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || saysFull(err) }

func lockedError(name string) error {
	return fmt.Errorf("lock %s: %w: close it there first", name, ErrLocked)
}
