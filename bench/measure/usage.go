package measure

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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
func PeakMemory() (int64, error) { return status("VmHWM:") }

// Memory returns the bytes of memory this process has now (VmRSS).
func Memory() (int64, error) { return status("VmRSS:") }

func status(field string) (int64, error) {
	content, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("read memory in use: %w", err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) == 3 && words[0] == field {
			kilobytes, err := strconv.ParseInt(words[1], 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("read memory in use: no %s", field)
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
