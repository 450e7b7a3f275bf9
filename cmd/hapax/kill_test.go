package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// stream is JSON lines in which every third repeats an id of before, some of them
// with another payload, and what must become of them.
type stream struct{ in, unique, duplicates, conflicts []byte }

func newStream(r *rand.Rand, messages int) stream {
	var in, unique, duplicates, conflicts bytes.Buffer
	fresh := 0
	for n := range messages {
		id, payload, out := fresh, fresh, &unique
		switch {
		case fresh == 0 || r.IntN(3) > 0:
			fresh++
		case r.IntN(5) == 0:
			id = r.IntN(fresh)
			payload, out = n+messages, &conflicts
		default:
			id = r.IntN(fresh)
			payload, out = id, &duplicates
		}
		line := fmt.Sprintf(`{"id":"%08x","payload":%d,"padding":%q}`+"\n", id, payload, strings.Repeat("-", id%100))
		in.WriteString(line)
		out.WriteString(line)
	}
	return stream{in.Bytes(), unique.Bytes(), duplicates.Bytes(), conflicts.Bytes()}
}

// TestKill kills hapax uniq at random moments, or interrupts it, starts it again
// until it is done, and demands each message once.
func TestKill(t *testing.T) {
	t.Parallel()
	for _, stdin := range []bool{false, true} {
		t.Run(fmt.Sprintf("stdin=%t", stdin), func(t *testing.T) {
			t.Parallel()
			killUntilDone(t, rand.New(rand.NewPCG(1, 2)), stdin, 100_000) // enough for the ledger to begin a second file
		})
	}
}

// TestTortureKill is the same for as long as HAPAX_TORTURE says.
func TestTortureKill(t *testing.T) {
	limit, err := time.ParseDuration(os.Getenv("HAPAX_TORTURE"))
	if err != nil {
		t.Skip("set HAPAX_TORTURE to a length of time")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for start := time.Now(); time.Since(start) < limit; {
		killUntilDone(t, r, r.IntN(2) == 0, 10_000+r.IntN(1_000_000))
	}
}

func killUntilDone(t *testing.T, r *rand.Rand, stdin bool, messages int) {
	t.Helper()
	hapax, err := exec.LookPath("hapax")
	if err != nil {
		t.Fatal(err)
	}
	s := newStream(r, messages)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("in"), s.in, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{
		"uniq", "--id", "json:id", "--checkpoint", "256KiB", "--ledger", path("ledger"),
		"--out", path("out"), "--duplicates", path("duplicates"), "--conflicts", path("conflicts"),
	}
	if !stdin {
		args = append(args, path("in"))
	}
	kills := 0
	for patience := 20 * time.Millisecond; ; patience += patience / 20 {
		signal := os.Kill
		if r.IntN(4) == 0 {
			signal = os.Interrupt
		}
		closed := closedAt(path("ledger"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.Int64N(int64(patience))))
		c := exec.CommandContext(ctx, hapax, args...)
		c.Cancel = func() error { return c.Process.Signal(signal) }
		c.Env = append(os.Environ(), "GORACE="+noLinger)
		if stdin {
			c.Stdin = bytes.NewReader(s.in)
		}
		output, err := c.CombinedOutput()
		cancel()
		if err == nil || c.ProcessState != nil && c.ProcessState.Success() {
			break
		}
		var exit *exec.ExitError
		interrupted := signal == os.Interrupt && bytes.HasSuffix(output, []byte("hapax: interrupted\n"))
		if !errors.As(err, &exit) && !errors.Is(err, context.DeadlineExceeded) || exit != nil && exit.ExitCode() >= 0 && !interrupted {
			t.Fatalf("after %d kills: %v: %s", kills, err, output)
		}
		kills++
		if _, err := os.Stat(path("out")); err == nil && !interrupted && closedAt(path("ledger")).After(closed) {
			break // it was about to exit
		}
	}
	for name, want := range map[string][]byte{"out": s.unique, "duplicates": s.duplicates, "conflicts": s.conflicts} {
		got, err := os.ReadFile(path(name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("after %d kills, %s has %d bytes, want %d: %s", kills, name, len(got), len(want), difference(got, want))
		}
	}
	t.Logf("done after %d kills", kills)
}

// TestOtherInput: after a kill, another standard input is not taken for the rest
// of the first one unless the user says so, and after an interrupt it is.
func TestOtherInput(t *testing.T) {
	t.Parallel()
	exe, err := exec.LookPath("hapax")
	if err != nil {
		t.Fatal(err)
	}
	for _, signal := range []os.Signal{os.Kill, os.Interrupt} {
		dir := t.TempDir()
		out := filepath.Join(dir, "out")
		command := func(args ...string) *exec.Cmd {
			c := exec.Command(exe, append([]string{"uniq", "--ledger", filepath.Join(dir, "ledger"), "--out", out}, args...)...)
			c.Env = append(os.Environ(), "GORACE="+noLinger)
			return c
		}
		endAfter(t, command(), signal, numbers(1, 40), numbers(1, 40), out)
		feed := func(text string, args ...string) (string, error) {
			c := command(args...)
			c.Stdin = strings.NewReader(text)
			output, err := c.CombinedOutput()
			return string(output), err
		}
		if signal == os.Kill {
			if output, err := feed(numbers(23, 60)); err == nil || !strings.Contains(output, "feed it again from its start") {
				t.Errorf("another input after a kill: %v: %s", err, output)
			}
			if output, err := feed(numbers(23, 50), "--leave-input"); err != nil || !strings.Contains(output, "warning: ") {
				t.Errorf("another input with --leave-input: %v: %s", err, output)
			}
			if output, err := feed(numbers(1, 40)); err != nil {
				t.Errorf("the first input again: %v: %s", err, output)
			}
		}
		if output, err := feed(numbers(23, 60)); err != nil {
			t.Errorf("another input after all of the first: %v: %s", err, output)
		}
		onceEach(t, out, 60)
	}
}

// TestAppended: what is behind the last checkpoint of a killed run is cut off, and
// what is behind the end of one that ended is not.
func TestAppended(t *testing.T) {
	t.Parallel()
	exe, err := exec.LookPath("hapax")
	if err != nil {
		t.Fatal(err)
	}
	for _, signal := range []os.Signal{os.Kill, os.Interrupt} {
		dir := t.TempDir()
		out := filepath.Join(dir, "out")
		command := func() *exec.Cmd {
			c := exec.Command(exe, "uniq", "--ledger", filepath.Join(dir, "ledger"), "--out", out)
			c.Env = append(os.Environ(), "GORACE="+noLinger)
			return c
		}
		feed := func() (string, error) {
			c := command()
			c.Stdin = strings.NewReader(numbers(1, 60))
			output, err := c.CombinedOutput()
			return string(output), err
		}
		appendLine := func() {
			f, err := os.OpenFile(out, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("torn")
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		endAfter(t, command(), signal, numbers(1, 40), numbers(1, 40), out)
		appendLine()
		if signal == os.Kill {
			if output, err := feed(); err != nil || !strings.Contains(output, "which a run that was cut short wrote behind its last checkpoint") {
				t.Errorf("after a kill: %v: %s", err, output)
			}
			onceEach(t, out, 60)
			appendLine()
		}
		before, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if output, err := feed(); err == nil || !strings.Contains(output, "has 4 bytes behind the ") {
			t.Errorf("after an end: %v: %s", err, output)
		}
		if after, err := os.ReadFile(out); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%v: %q, and was %q", err, after, before)
		}
	}
}

// numbers are lines, one a number.
func numbers(from, to int) string {
	var b strings.Builder
	for n := from; n <= to; n++ {
		fmt.Fprintf(&b, "m%d\n", n)
	}
	return b.String()
}

// onceEach demands that a file has the numbers from 1 on, each once.
func onceEach(t *testing.T, file string, to int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	slices.Sort(lines)
	want := strings.SplitAfter(numbers(1, to), "\n")
	slices.Sort(want)
	if !slices.Equal(lines, want) {
		t.Errorf("%q, want each of %d lines once", lines, to)
	}
}

// TestUnfinishedFile: after a kill the file that was being read is asked for by
// name, as lines of it may be remembered that are in no output. Given again beside
// another one with the same lines, each line is there once.
func TestUnfinishedFile(t *testing.T) {
	t.Parallel()
	exe, err := exec.LookPath("hapax")
	if err != nil {
		t.Fatal(err)
	}
	for _, leave := range []bool{false, true} {
		dir := t.TempDir()
		path := func(name string) string { return filepath.Join(dir, name) }
		for name, text := range map[string]string{"first": numbers(1, 40), "second": numbers(23, 60)} {
			if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		hapax := func(args ...string) *exec.Cmd {
			c := exec.Command(exe, args...)
			c.Dir = dir
			c.Env = append(os.Environ(), "GORACE="+noLinger)
			return c
		}
		uniq := func(args ...string) (string, error) {
			output, err := hapax(append([]string{"uniq", "--ledger", "ledger", "--out", "out"}, args...)...).CombinedOutput()
			return string(output), err
		}
		for { // until the kill comes before the first checkpoint, which takes a second
			endAfter(t, hapax("uniq", "--ledger", "ledger", "--out", "out", "first", "-"), os.Kill, "", numbers(1, 40), path("out"))
			stats, err := hapax("ledger", "stats", "ledger").CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, stats)
			}
			if strings.Contains(string(stats), path("first")+"), cut short") {
				break
			}
			if err := errors.Join(os.RemoveAll(path("ledger")), os.Remove(path("out"))); err != nil {
				t.Fatal(err)
			}
		}
		if output, err := uniq("second"); err == nil || !strings.HasPrefix(output, "hapax: "+path("first")+" was being read") {
			t.Errorf("without the file that a killed run was reading: %v: %s", err, output)
		}
		if leave {
			if output, err := uniq("--leave-input", "second"); err != nil || !strings.HasPrefix(output, "hapax: warning: "+path("first")) {
				t.Errorf("with --leave-input: %v: %s", err, output)
			}
		}
		if output, err := uniq("second", "first"); err != nil {
			t.Errorf("with both: %v: %s", err, output)
		}
		onceEach(t, path("out"), 60)
	}
}

// endAfter feeds a command, and ends it once it has written what it should.
func endAfter(t *testing.T, c *exec.Cmd, signal os.Signal, text, want, out string) {
	t.Helper()
	in, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err == nil {
		_, err = io.WriteString(in, text)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range time.Tick(time.Millisecond) {
		if b, err := os.ReadFile(out); err == nil && len(b) == len(want) {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("it does not write")
		}
	}
	if err := c.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	err = c.Wait()
	if code := c.ProcessState.ExitCode(); err == nil || signal == os.Interrupt && code != exitInterrupted {
		t.Errorf("after %v: %v", signal, err)
	}
}

// closedAt is when a run with the ledger closed it last, if none has opened it
// since.
func closedAt(dir string) time.Time {
	info, err := os.Stat(filepath.Join(dir, "clean"))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// difference shows the first line that differs.
func difference(got, want []byte) string {
	a, b := bytes.SplitAfter(got, []byte("\n")), bytes.SplitAfter(want, []byte("\n"))
	for i := range min(len(a), len(b)) {
		if !bytes.Equal(a[i], b[i]) {
			return fmt.Sprintf("line %d is %.60q, want %.60q", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(a), len(b))
}
