package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/internal/brokertest"
)

// TestDemoEnds: a demo that is interrupted says so by its exit code, and removes its folder; its
// processes end with it, and also when it is killed.
func TestDemoEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		signal os.Signal
		after  int // lines of progress
		exit   int
	}{
		"SIGINT at its start":   {os.Interrupt, 0, exitInterrupted},
		"SIGINT in the middle":  {os.Interrupt, 4, exitInterrupted},
		"SIGTERM in the middle": {syscall.SIGTERM, 6, exitInterrupted},
		"SIGKILL at its start":  {os.Kill, 0, -1},
		"SIGKILL in the middle": {os.Kill, 5, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c := demoIn(dir)
			said, err := c.StderrPipe()
			if err == nil {
				err = c.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(said)
			for range end.after {
				if !lines.Scan() {
					t.Fatal("it ended by itself")
				}
			}
			if end.after == 0 { // its parts are being started
				untilRunning(t, dir, func(n int) bool { return n >= 5 })
			}
			if err := c.Process.Signal(end.signal); err != nil {
				t.Fatal(err)
			}
			last := ""
			for lines.Scan() {
				last = lines.Text()
			}
			_ = c.Wait() // its exit code is looked at
			if got := c.ProcessState.ExitCode(); got != end.exit {
				t.Errorf("exit code %d, want %d; it said %q", got, end.exit, last)
			}
			left, err := os.ReadDir(dir)
			if err != nil || end.signal != os.Kill && len(left) > 0 {
				t.Errorf("it left %v, %v", left, err)
			}
			untilRunning(t, dir, func(n int) bool { return n == 0 })
		})
	}
}

// demoIn is a demo whose folder is made in dir.
func demoIn(dir string) *exec.Cmd {
	c := exec.Command("hapax", "demo", "--fast")
	c.Env = append(os.Environ(), "GORACE="+noLinger, "TMPDIR="+dir)
	return c
}

// untilRunning waits until as many processes run in dir as are wanted.
func untilRunning(t *testing.T, dir string, want func(n int) bool) {
	t.Helper()
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for until := time.Now().Add(3 * time.Minute); !want(len(running(t, dir))); <-pause.C {
		if time.Now().After(until) {
			t.Fatalf("these run: %q", running(t, dir))
		}
	}
}

// running are the command lines of all processes whose TMPDIR is dir.
func running(t *testing.T, dir string) (all []string) {
	t.Helper()
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range environments {
		text, err := os.ReadFile(name)
		if err == nil && bytes.Contains(text, []byte("\x00TMPDIR="+dir+"\x00")) { // it may have ended
			command, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
			all = append(all, string(bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
		}
	}
	return all
}

// TestDemoWithoutRoom: a folder that can't be made, or whose disk is full, is told, with what to do.
func TestDemoWithoutRoom(t *testing.T) {
	t.Parallel()
	full := t.TempDir()
	disk, err := brokertest.NewDisk(full, 4<<20)
	switch {
	case errors.Is(err, brokertest.ErrNoDisk):
		t.Logf("no full disk: %v", err)
	case err != nil:
		t.Fatal(err)
	default:
		t.Cleanup(func() {
			if err := disk.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		tmp, keep string
		want      []string
	}{
		{file, "", []string{file, "not a directory", "--keep", "TMPDIR"}},
		{filepath.Join(file, "none"), "", []string{file, "--keep", "TMPDIR"}},
		{"", file, []string{"--keep", file, "not a directory"}},
		{full, "", []string{full, "no space left on device", "--keep", "TMPDIR"}},
	} {
		if test.tmp == full && disk == nil {
			continue
		}
		c := demoIn(test.tmp)
		if test.keep != "" {
			c.Args = append(c.Args, "--keep", test.keep)
		}
		said, err := c.CombinedOutput()
		if err == nil || c.ProcessState.ExitCode() != exitError {
			t.Errorf("%+v: %v", test, err)
		}
		_, told, _ := strings.Cut(string(said), "hapax: ")
		for _, want := range test.want {
			if !strings.Contains(told, want) {
				t.Errorf("%+v: said %q, and not %q", test, told, want)
			}
		}
	}
	if left, err := os.ReadDir(full); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}
