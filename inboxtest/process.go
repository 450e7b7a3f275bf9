package inboxtest

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// taskVariable is where another process finds its task.
const taskVariable = "HAPAX_INBOXTEST_TASK"

// task is what another process does in a place.
type task struct {
	Test      string // which ran it
	Place     string
	Isolation sql.IsolationLevel
	Do        string // "race" or "die"
	Step      int    // at which to die
}

// taskOf returns the task of this process, if it is another process, for a test.
func taskOf(t *testing.T) (task, bool) {
	text := os.Getenv(taskVariable)
	if text == "" {
		return task{}, false
	}
	var other task
	if err := json.Unmarshal([]byte(text), &other); err != nil {
		t.Fatalf("read %s: %v", taskVariable, err)
	}
	if other.Test != t.Name() { // another exam of the same test function
		return task{Do: "nothing"}, true
	}
	return other, true
}

// perform does what another process is for. It says "ready", waits for a line, and
// says what comes of it.
func perform[T any](t *testing.T, s Store[T], other task) {
	if other.Do == "nothing" {
		return
	}
	sit := &sitting[T]{TB: t, store: s, isolation: other.Isolation}
	i := sit.open(Connection{Place: other.Place})
	say("ready")
	_, _ = fmt.Scanln() // the end of the input is a word to begin as well
	switch other.Do {
	case "race":
		sit.must(sit.compete(i))
		say("done")
	case "die":
		sit.walk(i, other.Step)
	}
}

// say writes a line that the process which waits for it finds among those of the
// testing package.
func say(line string) { fmt.Printf("\n%s%s\n", said, line) }

const said = "inboxtest: "

// process is another process, at its task.
type process struct {
	tb     testing.TB
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Scanner
	heard  strings.Builder
}

// start starts another process of this test and waits until it is ready.
func (s *sitting[T]) start(do, place string, step int) *process {
	s.Helper()
	exam := examOf(s.Name())
	text, err := json.Marshal(task{Test: exam, Place: place, Isolation: s.isolation, Do: do, Step: step})
	s.must(err)
	var pattern []string
	for _, part := range strings.Split(exam, "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	cmd := exec.CommandContext(s.Context(), os.Args[0], "-test.run="+strings.Join(pattern, "/"), "-test.count=1") //nolint:gosec // this binary
	cmd.Env = append(os.Environ(), taskVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	s.must(err)
	stdout, err := cmd.StdoutPipe()
	s.must(err)
	s.must(cmd.Start())
	p := &process{tb: s, cmd: cmd, stdin: stdin, stdout: bufio.NewScanner(stdout)}
	s.Cleanup(p.kill)
	p.hear("ready")
	return p
}

// examOf is the name of the test that called RunMarks, of a name below it: without
// the check, and without the level of isolation before it.
func examOf(name string) string {
	exam := name[:strings.LastIndexByte(name, '/')]
	parent := strings.LastIndexByte(exam, '/')
	for level := sql.LevelDefault; parent > 0 && level <= sql.LevelLinearizable; level++ {
		if exam[parent+1:] == strings.ReplaceAll(level.String(), " ", "_") {
			return exam[:parent]
		}
	}
	return exam
}

// begin lets the process begin its task.
func (p *process) begin() {
	p.tb.Helper()
	if _, err := io.WriteString(p.stdin, "\n"); err != nil {
		p.tb.Fatal(err)
	}
}

// hear waits for what the process says.
func (p *process) hear(line string) {
	p.tb.Helper()
	for p.stdout.Scan() {
		if p.stdout.Text() == said+line {
			return
		}
		fmt.Fprintln(&p.heard, p.stdout.Text())
	}
	p.tb.Fatalf("the other process ended before it was %s:\n%s", line, p.heard.String())
}

// end waits until the process has ended by itself.
func (p *process) end() {
	p.tb.Helper()
	for p.stdout.Scan() {
		fmt.Fprintln(&p.heard, p.stdout.Text())
	}
	if err := p.cmd.Wait(); err != nil {
		p.tb.Errorf("the other process: %v\n%s", err, p.heard.String())
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}
