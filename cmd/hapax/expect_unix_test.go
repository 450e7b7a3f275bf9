//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestExpectLeavesPipes: what can be read once only is not looked at before, nor
// waited for.
func TestExpectLeavesPipes(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	w := &world{ctx: t.Context(), stdin: strings.NewReader("")}
	if n := w.expect([]string{pipe}, nil); n != 0 {
		t.Errorf("expects %d of a pipe", n)
	}
}
