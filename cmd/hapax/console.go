package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/term"
)

// console is standard error: messages, and on a terminal a line of progress
// below them. It is safe for concurrent use.
type console struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	shown    bool // a line of progress
}

func newConsole(out io.Writer) *console { return &console{out: out, terminal: isTerminal(out)} }

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// say prints a message.
func (c *console) say(format string, args ...any) {
	c.print("hapax: " + fmt.Sprintf(format, args...) + "\n")
}

// print prints text, with the line of progress out of the way, and without what
// would move a terminal's cursor or change its colours: names of files are in it.
// Nothing can be done if nobody hears it.
func (c *console) print(text string) {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return '·'
		}
		return r
	}, text)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shown {
		c.shown = false
		text = "\r\x1b[K" + text
	}
	_, _ = io.WriteString(c.out, text)
}

// progress replaces the line of progress; an empty one takes it away.
func (c *console) progress(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.terminal || line == "" && !c.shown {
		return
	}
	c.shown = line != ""
	_, _ = io.WriteString(c.out, "\r"+line+"\x1b[K")
}

// logger says what a ledger has to say, from warnings up.
func (c *console) logger() *slog.Logger { return slog.New(logHandler{console: c}) }

// dated is logger for what runs on and on, and says when: RFC 3339, UTC, milliseconds.
func (c *console) dated() *slog.Logger { return slog.New(logHandler{console: c, dated: true}) }

type logHandler struct {
	console *console
	dated   bool
	attrs   []slog.Attr
}

func (h logHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	if h.dated && !r.Time.IsZero() {
		b.WriteString(r.Time.UTC().Format("2006-01-02T15:04:05.000Z "))
	}
	fmt.Fprintf(&b, "%s: %s", strings.ToLower(r.Level.String()), r.Message)
	add := func(a slog.Attr) bool {
		fmt.Fprintf(&b, ", %s %v", a.Key, a.Value)
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	h.console.say("%s", b.String())
	return nil
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs = append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)
	return h
}

func (h logHandler) WithGroup(string) slog.Handler { return h }
