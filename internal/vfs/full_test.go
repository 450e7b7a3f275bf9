package vfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// A full disk is told from other failures by each of the system's numbers, however
// the error is wrapped.
func TestIsFull(t *testing.T) {
	for _, cause := range append(fullNumbers(), syscall.ENOSPC) {
		wrapped := &fs.PathError{Op: "write", Path: "/f", Err: cause}
		for _, err := range []error{cause, wrapped, vfs.Short(3, wrapped), errors.Join(fs.ErrClosed, wrapped), fmt.Errorf("make it: %w", wrapped)} {
			if !vfs.IsFull(err) {
				t.Errorf("%#v (%v) says nothing of a full disk", err, err)
			}
		}
	}
	for _, err := range []error{nil, syscall.EIO, syscall.EMFILE, fs.ErrNotExist, vfs.ErrLocked} {
		if vfs.IsFull(err) {
			t.Errorf("%v says that the disk is full", err)
		}
	}
	m := vfs.NewMem()
	m.SetCapacity(1)
	f, err := m.Create("/f")
	must(t, err)
	if _, err := f.WriteAt([]byte("ab"), 0); !vfs.IsFull(err) {
		t.Errorf("a full disk in memory: %v", err)
	}
}
