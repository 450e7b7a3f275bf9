//go:build unix

package arena

import (
	"os"

	"golang.org/x/sys/unix"
)

var pageSize = os.Getpagesize()

func reserve(n int) ([]byte, error) {
	all, err := unix.Mmap(-1, 0, n, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err == nil {
		advise(all)
	}
	return all, err
}

func commit(b []byte) error { return unix.Mprotect(b, unix.PROT_READ|unix.PROT_WRITE) }

func release(all []byte) error { return unix.Munmap(all) }
