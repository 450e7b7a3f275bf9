package clients

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// client is one of those examined, and what it can.
type client struct {
	name   string
	argv   []string // what runs its program
	needs  string   // the file that scripts/clients puts there for it; "" for none
	codecs string
	lacks  []string // of: consumer protocol, transform, killed broker, gaps, follow; and lines of admin
}

// installed is where scripts/clients puts what is not of the operating system.
const installed = "../.tools/clients"

func clients() []client {
	python := installed + "/python/bin/python"
	node := installed + "/node/done"
	java := installed + "/java/classes/done"
	all := "none gzip snappy lz4 zstd"
	return []client{
		{name: "franz-go", argv: []string{filepath.Join(programs, "franz")}, codecs: all,
			lacks: []string{"follow"}},
		{name: "java", argv: javaCommand("Client"), needs: java, codecs: all},
		{name: "librdkafka", argv: []string{python, "python/confluent.py"}, needs: python, codecs: all,
			lacks: []string{"offset 0=none"}},
		{name: "kafka-python", argv: []string{python, "python/kafkapython.py"}, needs: python, codecs: all,
			lacks: []string{"consumer protocol", "killed broker", "follow"}},
		{name: "sarama", argv: []string{filepath.Join(programs, "sarama")}, codecs: all,
			lacks: []string{"consumer protocol"}},
		{name: "kafka-go", argv: []string{filepath.Join(programs, "kafkago")}, codecs: all,
			lacks: []string{"consumer protocol", "transform", "records 5", "gaps", "follow"}},
		{name: "kafkajs", argv: []string{"node", "node/client.js"}, needs: node, codecs: "none gzip snappy",
			lacks: []string{"consumer protocol", "offset 0=none", "follow"}},
	}
}

// javaCommand runs a class of ours in a JVM that starts quickly and stays small.
func javaCommand(class string) []string {
	return []string{"java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-cp", installed + "/java/classes:" + installed + "/java/lib/*", class}
}

// each runs a part of the exam with each client that can do it.
func each(t *testing.T, part string, exam func(t *testing.T, c client)) {
	for _, c := range clients() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.cannot(part) {
				t.Skipf("%s has no %s", c.name, part)
			}
			require(t, c.needs)
			exam(t, c)
		})
	}
}

func (c client) cannot(part string) bool {
	for _, l := range c.lacks {
		if l == part {
			return true
		}
	}
	return false
}

// require skips a test whose client is not there; where CI is set, that is a failure.
func require(t *testing.T, path string) {
	t.Helper()
	if path == "" {
		return
	}
	if _, err := os.Stat(path); err == nil {
		return
	}
	missing(t, path)
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing: run scripts/clients", what)
	}
	t.Skipf("SKIPPED, NOT TESTED: %s is missing: run scripts/clients", what)
}

// patience is how long the exam waits for a line before it gives up.
const patience = 60 * time.Second

// program is a client's program that runs.
type program struct {
	*testing.T
	name       string
	process    *exec.Cmd
	stdin      io.WriteCloser
	lines      chan string // what it tells; closed at its end
	complaints output
}

// run starts a client's program.
func (c client) run(t *testing.T, n *node, args ...string) *program {
	t.Helper()
	argv := append(append([]string{}, c.argv...), n.address)
	argv = append(argv, args...)
	return launch(t, c.name+" "+strings.Join(args, " "), exec.Command(argv[0], argv[1:]...))
}

// launch starts a program, which is killed at the latest when the test ends.
func launch(t *testing.T, name string, process *exec.Cmd) *program {
	t.Helper()
	p := &program{T: t, name: name, process: process, lines: make(chan string, 1000)}
	p.process.Stderr = &p.complaints
	out, err := p.process.StdoutPipe()
	if err == nil {
		p.stdin, err = p.process.StdinPipe()
	}
	if err == nil {
		err = p.process.Start()
	}
	if err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		p.kill()
		if said := p.complaints.String(); t.Failed() && said != "" {
			t.Logf("%s said:\n%s", p.name, tail(said, 5_000))
		}
	})
	return p
}

// kill ends the program as kill -9 does.
func (p *program) kill() {
	_ = p.process.Process.Kill() // it may have ended
	for range p.lines {          // until its output is read to the end
	}
	_ = p.process.Wait() // by a signal
}

// next is the next line the program tells, and false at its end.
func (p *program) next() (string, bool) {
	p.Helper()
	select {
	case line, more := <-p.lines:
		return line, more
	case <-time.After(patience):
		p.Fatalf("%s tells nothing for %v", p.name, patience)
		return "", false
	}
}

// finish returns all that the program has yet to tell, when it has ended well.
func (p *program) finish() []string {
	p.Helper()
	var told []string
	for line, more := p.next(); more; line, more = p.next() {
		told = append(told, line)
	}
	p.end()
	return told
}

// end demands that the program, which has told all, ended well.
func (p *program) end() {
	p.Helper()
	if err := p.process.Wait(); err != nil {
		p.Fatalf("%s: %v\n%s", p.name, err, tail(p.complaints.String(), 5_000))
	}
}

// leave tells the program to end; what it tells can still be read.
func (p *program) leave() {
	p.Helper()
	if err := p.stdin.Close(); err != nil {
		p.Fatal(err)
	}
}

// record is a line about a record.
type record struct {
	partition int
	offset    int64
	number    int
	key       string
	codec     string
}

// parse reads the lines that begin with a word; others it leaves out.
func parse(t *testing.T, word string, lines []string) []record {
	t.Helper()
	var records []record
	for _, line := range lines {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == word {
			records = append(records, parseLine(t, line))
		}
	}
	return records
}

func parseLine(t *testing.T, line string) record {
	t.Helper()
	var r record
	var word string
	n, err := fmt.Sscan(line, &word, &r.partition, &r.offset, &r.number, &r.key, &r.codec)
	if n < 4 {
		t.Fatalf("%q is not what a program tells: %v", line, err)
	}
	return r
}
