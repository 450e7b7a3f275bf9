//go:build !linux

package brokertest

import "errors"

// Disk is a file system of its own, which can be filled; there is none here.
type Disk struct{ Dir string }

// ErrNoDisk says that file systems cannot be mounted.
var ErrNoDisk = errors.New("a disk of its own needs Linux")

// NewDisk fails.
func NewDisk(string, int64) (*Disk, error) { return nil, ErrNoDisk }

// Fill fails.
func (*Disk) Fill(int64) error { return ErrNoDisk }

// Free fails.
func (*Disk) Free() error { return ErrNoDisk }

// Close does nothing.
func (*Disk) Close() error { return nil }
