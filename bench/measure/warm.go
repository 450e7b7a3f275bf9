package measure

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Warm touches so many bytes of memory, or most of what is free, and gives them
// back. A virtual machine gets memory from its host when it first touches it,
// milliseconds a huge page, and may give back what is free for a while: what is
// measured just afterwards is the program and not the host.
func Warm(bytes int64) error {
	free, err := procBytes("/proc/meminfo", "MemAvailable:")
	if err != nil {
		return err
	}
	b, err := unix.Mmap(-1, 0, int(min(bytes, free/4*3)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("warm memory: %w", err)
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // the faster, but not needed
	for i := 0; i < len(b); i += os.Getpagesize() {
		b[i] = 1
	}
	return unix.Munmap(b)
}
