package brokertest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Disk is a file system of its own, which can be filled. It is in memory.
type Disk struct{ Dir string }

// ErrNoDisk says that file systems cannot be mounted, as without root.
var ErrNoDisk = errors.New("a disk of its own needs root, and the right to mount")

// NewDisk mounts a disk of a size on a directory.
func NewDisk(dir string, bytes int64) (*Disk, error) {
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprint("size=", bytes)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDisk, err)
	}
	return &Disk{dir}, nil
}

func (d *Disk) ballast() string { return filepath.Join(d.Dir, "ballast") }

// Fill leaves so many bytes free, or somewhat less if others write meanwhile.
func (d *Disk) Fill(left int64) error {
	f, err := os.Create(d.ballast())
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // nothing is written to it
	for {
		var now unix.Statfs_t
		if err := unix.Statfs(d.Dir, &now); err != nil {
			return err
		}
		take := int64(now.Bavail)*now.Bsize - left
		if take <= 0 {
			return nil
		}
		if err := unix.Fallocate(int(f.Fd()), 0, 0, take); !errors.Is(err, unix.ENOSPC) {
			return err
		}
	}
}

// Free makes room again.
func (d *Disk) Free() error { return os.Remove(d.ballast()) }

// Close unmounts it.
func (d *Disk) Close() error { return unix.Unmount(d.Dir, unix.MNT_DETACH) }
