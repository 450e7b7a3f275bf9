package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const (
	fileMode = 0o600
	dirMode  = 0o700
)

// OS returns the operating system's file system.
func OS() FS { return osFS{} }

type osFS struct{}

type osFile struct{ *os.File }

// SystemFile is the operating system's file that f is, or nil if f is none: for
// what the system does with whole files, as sendfile.
func SystemFile(f File) *os.File {
	switch f := f.(type) {
	case osFile:
		return f.File
	case *faultFile:
		return SystemFile(f.File)
	}
	return nil
}

// Sync hides the one of os.File, which also waits for the times of the file.
func (f osFile) Sync() error { return syncData(f.File) }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (osFS) open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, fileMode)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (o osFS) Create(name string) (File, error) {
	return o.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (o osFS) Open(name string) (File, error)   { return o.open(name, os.O_RDONLY) }
func (o osFS) OpenRW(name string) (File, error) { return o.open(name, os.O_RDWR) }

func (osFS) Remove(name string) error             { return os.Remove(name) }
func (osFS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }

// MkdirAll makes the missing directories from the top down and syncs the
// directory above each.
func (o osFS) MkdirAll(dir string) error {
	dir = filepath.Clean(dir)
	info, err := os.Stat(dir)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if err := o.MkdirAll(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return o.SyncDir(parent)
}

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (osFS) Stat(name string) (int64, error) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (osFS) SyncDir(dir string) error       { return syncDir(dir) }
func (osFS) Free(dir string) (int64, error) { return freeBytes(dir) }

func (osFS) Lock(name string) (io.Closer, error) {
	return lock(name, os.O_RDWR|os.O_CREATE, true)
}

func (osFS) LockShared(name string) (io.Closer, error) { return lock(name, os.O_RDONLY, false) }

// lock opens a file and locks it.
func lock(name string, flag int, exclusive bool) (io.Closer, error) {
	f, err := os.OpenFile(name, flag, fileMode)
	if err != nil {
		return nil, err
	}
	held, err := lockFile(f, exclusive)
	switch {
	case err == nil && !held:
		return f, nil
	case held:
		err = lockedError(name)
	default:
		err = &os.PathError{Op: "lock", Path: name, Err: err}
	}
	_ = f.Close() // nothing was written
	return nil, err
}
