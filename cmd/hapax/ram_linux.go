package main

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ram is the memory that the process may have in bytes: the machine's, or less in
// a control group.
func ram() int64 {
	var info unix.Sysinfo_t
	total := int64(4 << 30)
	if err := unix.Sysinfo(&info); err == nil {
		total = int64(uint64(info.Totalram) * uint64(info.Unit)) //nolint:unconvert // its type differs by system
	}
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && limit > 0 {
			total = min(total, limit)
		}
	}
	return total
}
