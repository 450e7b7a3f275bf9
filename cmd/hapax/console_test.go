package main

import (
	"bytes"
	"testing"
)

// TestConsoleIsSafe: what a name holds is shown, and not obeyed by a terminal.
func TestConsoleIsSafe(t *testing.T) {
	var out bytes.Buffer
	newConsole(&out).say("%s: is gone", "a\x1b[2J\rb\u009b日\tc")
	if got, want := out.String(), "hapax: a·[2J·b·日\tc: is gone\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
