package main

import (
	"bytes"
	"log/slog"
	"testing"
	"time"
)

// TestConsoleIsSafe: what a name holds is shown, and not obeyed by a terminal.
func TestConsoleIsSafe(t *testing.T) {
	var out bytes.Buffer
	newConsole(&out).say("%s: is gone", "a\x1b[2J\rb\u009b日\tc")
	if got, want := out.String(), "hapax: a·[2J·b·日\tc: is gone\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestLogIsDated: what a node logs has the time; what a command says has none.
func TestLogIsDated(t *testing.T) {
	var out bytes.Buffer
	c := newConsole(&out)
	at := time.Date(2026, 3, 4, 7, 6, 7, 80_900_000, time.FixedZone("", 7200))
	r := slog.NewRecord(at, slog.LevelWarn, "it is full", 0)
	for _, l := range []*slog.Logger{c.dated().With("topic", "orders"), c.logger()} {
		if err := l.Handler().Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := out.String(), "hapax: 2026-03-04T05:06:07.080Z warn: it is full, topic orders\nhapax: warn: it is full\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
