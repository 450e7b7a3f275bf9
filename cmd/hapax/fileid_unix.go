//go:build unix

package main

import (
	"fmt"
	"io/fs"
	"syscall"
)

// fileID is the same for a file whatever its name is.
func fileID(info fs.FileInfo, path string) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%x:%x", st.Dev, st.Ino)
	}
	return path
}
