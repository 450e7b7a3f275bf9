package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

// noLinger is GORACE for children: else each waits a second at its end for races.
const noLinger = "atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hapax": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", noLinger)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"unescape": unescape,
			"compress": compress,
			"repeat":   repeat,
			"exits":    exits,
			"append":   appendTo,
			"cut":      cut,
		},
	})
}

// exits CODE COMMAND… demands an exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := err.(interface{ ExitCode() int }); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if want := args[0]; want != strconv.Itoa(code) {
		ts.Fatalf("exit code %d, want %s", code, want)
	}
}

// unescape FILE turns \n, \r, \t and \\ in a file into what they stand for, and
// takes away its last newline.
func unescape(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		b := bytes.TrimSuffix([]byte(ts.ReadFile(name)), []byte("\n"))
		for from, to := range map[string]string{`\n`: "\n", `\r`: "\r", `\t`: "\t"} {
			b = bytes.ReplaceAll(b, []byte(from), []byte(to))
		}
		ts.Check(os.WriteFile(ts.MkAbs(name), b, 0o600))
	}
}

// compress gzip|zstd FILE TO…
func compress(ts *testscript.TestScript, _ bool, args []string) {
	text := []byte(ts.ReadFile(args[1]))
	var out bytes.Buffer
	if args[0] == "gzip" {
		w := gzip.NewWriter(&out)
		_, err := w.Write(text)
		ts.Check(err)
		ts.Check(w.Close())
	} else {
		w, err := zstd.NewWriter(&out)
		ts.Check(err)
		_, err = w.Write(text)
		ts.Check(err)
		ts.Check(w.Close())
	}
	for _, to := range args[2:] {
		ts.Check(os.WriteFile(ts.MkAbs(to), out.Bytes(), 0o600))
	}
}

// repeat N TEXT FILE appends N times a text to a file.
func repeat(ts *testscript.TestScript, _ bool, args []string) {
	n := 0
	for _, c := range args[0] {
		n = 10*n + int(c-'0')
	}
	f, err := os.OpenFile(ts.MkAbs(args[2]), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	ts.Check(err)
	_, err = f.Write(bytes.Repeat([]byte(args[1]), n))
	ts.Check(err)
	ts.Check(f.Close())
}

// append FROM TO appends a file to another.
func appendTo(ts *testscript.TestScript, _ bool, args []string) {
	repeat(ts, false, []string{"1", ts.ReadFile(args[0]), args[1]})
}

// cut FILE takes away a file's last byte.
func cut(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	ts.Check(os.Truncate(ts.MkAbs(args[0]), int64(len(text)-1)))
}

// TestSaid: a full disk is said once, whatever else is joined to it.
func TestSaid(t *testing.T) {
	full := func(path string) error { return fmt.Errorf("write %s: %w", path, syscall.ENOSPC) }
	var stderr bytes.Buffer
	w := &world{stderr: newConsole(&stderr), command: "hapax uniq"}
	err := errors.Join(errors.Join(full("out"), errors.New("other")), fmt.Errorf("close ledger: %w", full("log")))
	if code := w.fail(err); code != exitError {
		t.Errorf("exit code %d", code)
	}
	if want := "hapax: write out: no space left on device; other (make room and start again)\n"; stderr.String() != want {
		t.Errorf("%q, want %q", stderr.String(), want)
	}
}

// TestOthersLedger: a ledger that a program made in its own way can be looked into.
func TestOthersLedger(t *testing.T) {
	for _, disorder := range []int{0, 64, 4096} {
		dir := t.TempDir()
		l, err := ledger.Open(dir, ledger.Options{
			Window:    hapax.Window{Time: time.Millisecond},
			Sequences: ledger.SequenceOptions{Window: disorder},
		})
		if err != nil {
			t.Fatal(err)
		}
		batch := &ledger.SequenceBatch{Entries: []ledger.SequenceEntry{{Producer: l.Hasher("").Fingerprint([]byte("p")), Number: 7}}}
		if err := errors.Join(l.AdmitSequences(t.Context(), batch), l.Close()); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), []string{"ledger", "stats", dir}, nil, &stdout, &stderr); code != exitOK {
			t.Errorf("sequence window %d: exit code %d: %s", disorder, code, &stderr)
		}
	}
}
