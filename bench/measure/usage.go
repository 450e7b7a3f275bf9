package measure

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ResetPeak makes PeakMemory start anew from the memory used now.
func ResetPeak() error {
	FreeMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return fmt.Errorf("reset peak memory: %w", err)
	}
	return nil
}

// PeakMemory returns the most bytes of memory this process had at once
// (VmHWM), files it mapped included.
func PeakMemory() (int64, error) { return procBytes("/proc/self/status", "VmHWM:") }

// Memory returns the bytes of memory this process has now (VmRSS).
func Memory() (int64, error) { return procBytes("/proc/self/status", "VmRSS:") }

// MemoryOf is Memory of another process.
func MemoryOf(pid int) (int64, error) {
	return procBytes(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
}

// CPUOf returns the time that all threads of a process have had so far, user and
// system, to the nearest hundredth of a second (proc_pid_stat(5), USER_HZ).
func CPUOf(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	_, behind, _ := strings.Cut(string(stat), ") ") // the program's name
	fields := strings.Fields(behind)
	if len(fields) < 13 {
		return 0, fmt.Errorf("read processor time: %q", stat)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}

// procBytes reads a field that the kernel tells in kilobytes. It leaves next to
// nothing on the heap: it is asked often, and what it left would count.
func procBytes(path, field string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("read memory in use: %w", err)
	}
	defer func() { _ = f.Close() }() // it is only read
	var text [4096]byte
	n, err := f.Read(text[:])
	if err != nil {
		return 0, fmt.Errorf("read memory in use: %w", err)
	}
	_, after, ok := bytes.Cut(text[:n], []byte(field))
	if !ok {
		return 0, fmt.Errorf("read memory in use: %s has no %s", path, field)
	}
	kilobytes := int64(0)
	for _, c := range bytes.TrimLeft(after, " \t") {
		if c < '0' || c > '9' {
			break
		}
		kilobytes = kilobytes*10 + int64(c-'0')
	}
	return kilobytes << 10, nil
}

// Disk returns the bytes that the files below dir take up, in whole blocks.
func Disk(dir string) (used int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		used += info.Sys().(*syscall.Stat_t).Blocks * 512
		return nil
	})
	return used, err
}
