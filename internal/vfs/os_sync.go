//go:build !linux

package vfs

import "os"

// syncData is F_FULLFSYNC on macOS, FlushFileBuffers on Windows.
func syncData(f *os.File) error { return f.Sync() }
