// Package processtest starts other processes of a test's own: its binary again, which comes
// to the same test by its name, and finds a task there. They work beside the test, and are
// killed and stopped where they say that they are.
//
// A process ends with the one that started it.
package processtest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// variable is where another process finds its task.
const variable = "HAPAX_PROCESSTEST"

type assignment struct {
	Test string // which started the process
	Task json.RawMessage
}

// Task tells whether this is another process, and if the test t started it reads its task.
// A test must ask before it does anything else, and in another process do its task or, if
// that is another test's, nothing.
func Task(t *testing.T, task any) (mine, other bool) {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return false, false
	}
	var a assignment
	err := json.Unmarshal([]byte(text), &a)
	if err == nil && a.Test == t.Name() {
		mine, err = true, json.Unmarshal(a.Task, task)
	}
	if err != nil {
		t.Fatalf("read %s: %v", variable, err)
	}
	return mine, true
}

// Orders are the words to go on, each of which is a value. They are of one test in another
// process, which ends when there will be none.
func Orders() <-chan struct{} {
	orders := make(chan struct{})
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			orders <- struct{}{}
		}
		os.Exit(1)
	}()
	return orders
}

// said is before a line, to find it among those of the testing package.
const said = "processtest: "

// Say writes a line to who started this process.
func Say(line string) { fmt.Printf("\n%s%s\n", said, line) }

// Process is another process at its task. Its methods are for one goroutine.
type Process struct {
	tb    testing.TB
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
	heard strings.Builder
}

// Start starts a process with a task for a test, by its name. It ends with tb.
func Start(tb testing.TB, test string, task any) *Process {
	tb.Helper()
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatalf("start another process: %v", err)
		}
	}
	text, err := json.Marshal(task)
	must(err)
	text, err = json.Marshal(assignment{Test: test, Task: text})
	must(err)
	var pattern []string
	for part := range strings.SplitSeq(test, "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	cmd := exec.CommandContext(tb.Context(), os.Args[0], "-test.run="+strings.Join(pattern, "/"), "-test.count=1") //nolint:gosec // this binary
	cmd.Env = append(os.Environ(), variable+"="+string(text), "GORACE=atexit_sleep_ms=0")                          // or each takes a second to end under -race
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(err)
	stdout, err := cmd.StdoutPipe()
	must(err)
	must(cmd.Start())
	p := &Process{tb: tb, cmd: cmd, stdin: stdin, lines: bufio.NewScanner(stdout)}
	tb.Cleanup(p.Kill)
	return p
}

// Order lets the process go on.
func (p *Process) Order() {
	p.tb.Helper()
	if _, err := io.WriteString(p.stdin, "\n"); err != nil {
		p.tb.Fatalf("tell the other process to go on: %v", err)
	}
}

// Hear waits for a line that the process says.
func (p *Process) Hear(line string) {
	p.tb.Helper()
	if got := p.Next(); got != line {
		p.tb.Fatalf("the other process said %q, and not %q:\n%s", got, line, p.heard.String())
	}
}

// Next is the next line that the process says.
func (p *Process) Next() string {
	p.tb.Helper()
	for p.lines.Scan() {
		if line, ok := strings.CutPrefix(p.lines.Text(), said); ok {
			return line
		}
		fmt.Fprintln(&p.heard, p.lines.Text())
	}
	p.tb.Fatalf("the other process has ended:\n%s", p.heard.String())
	return ""
}

// End waits until the process has ended by itself.
func (p *Process) End() {
	p.tb.Helper()
	for p.lines.Scan() {
		fmt.Fprintln(&p.heard, p.lines.Text())
	}
	if err := p.cmd.Wait(); err != nil {
		p.tb.Errorf("the other process: %v\n%s", err, p.heard.String())
	}
}

// Kill ends the process as kill -9 does, unless it has ended.
func (p *Process) Kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}
