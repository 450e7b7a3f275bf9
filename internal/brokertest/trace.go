package brokertest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// TraceArgs are what strace is to be told, beside the process, for [Trace] to read what
// it writes to a file.
func TraceArgs(file string) []string {
	return []string{"-f", "-y", "-xx", "-s", "1048576", "-o", file, "-e", "trace=write,writev,sendto,sendmsg,pwrite64,fdatasync"}
}

// Mark is a text that stands for itself in a record, by its number.
func Mark(n uint32) string { return fmt.Sprintf("<mark %08x>", n) }

// Traced is what a trace shows.
type Traced struct {
	Syncs int            // of files
	Acks  map[uint32]int // answers by their correlation id
	Early []string       // answers that were begun before their mark was synced
}

// Trace reads the system calls of a broker, as strace wrote them down, and finds the
// answers that were begun before what they acknowledge was synced: written to a file by
// a call that had returned when a sync of that file was begun, which has returned too.
// An answer's correlation id tells its mark: see marked.
func Trace(r io.Reader, marked func(correlation uint32) (mark uint32, ok bool)) (Traced, error) {
	t := tracing{
		marked: marked, Traced: Traced{Acks: map[uint32]int{}},
		underway: map[string]call{}, written: map[string][]uint32{}, durable: map[uint32]bool{},
	}
	lines := bufio.NewReaderSize(r, 1<<20)
	for n := 1; ; n++ {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return t.Traced, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return t.Traced, err
		}
		if err := t.line(line); err != nil {
			return t.Traced, fmt.Errorf("line %d: %w", n, err)
		}
	}
}

type tracing struct {
	Traced
	marked   func(uint32) (uint32, bool)
	underway map[string]call     // by thread
	written  map[string][]uint32 // marks by the file that they are in, and not synced
	durable  map[uint32]bool
}

// call is a system call.
type call struct {
	name, file string
	bytes      []byte
	syncs      []uint32 // the marks that it is to make durable
}

// line reads a line: a call, the first half of one, or its second.
//
//	2041  pwrite64(7<\x2f\x64>, "\x00\x01…", 24, 4096) = 24
//	2042  fdatasync(7<\x2f\x64> <unfinished ...>
//	2042  <... fdatasync resumed>) = 0
func (t *tracing) line(line string) error {
	thread, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	rest = strings.TrimSpace(rest)
	if strings.HasPrefix(rest, "<... ") {
		c, ok := t.underway[thread]
		if !ok {
			return errors.New("a call resumes that was not begun")
		}
		delete(t.underway, thread)
		return t.end(c, rest)
	}
	c, ok, err := begun(rest)
	if !ok || err != nil {
		return err
	}
	t.begin(&c)
	if strings.HasSuffix(rest, "<unfinished ...>") {
		t.underway[thread] = c
		return nil
	}
	return t.end(c, rest)
}

// begun reads the name and the first arguments of a call.
func begun(text string) (c call, ok bool, err error) {
	name, args, ok := strings.Cut(text, "(")
	if !ok || strings.HasPrefix(text, "---") || strings.HasPrefix(text, "+++") {
		return c, false, nil
	}
	c.name = name
	if _, args, ok = strings.Cut(args, "<"); !ok {
		return c, false, nil
	}
	path, args, ok := strings.Cut(args, ">")
	if !ok {
		return c, false, nil
	}
	file, err := unhex(path)
	if c.file = string(file); err != nil {
		return c, false, err
	}
	if _, args, ok = strings.Cut(args, `"`); ok {
		text, _, _ := strings.Cut(args, `"`)
		c.bytes, err = unhex(text)
	}
	return c, true, err
}

// unhex reads bytes as in \x00\x01.
func unhex(text string) ([]byte, error) { return hex.DecodeString(strings.ReplaceAll(text, `\x`, "")) }

// begin takes in that a call was begun.
func (t *tracing) begin(c *call) {
	switch {
	case c.name == "fdatasync":
		c.syncs = t.written[c.file]
		t.written[c.file] = nil
	case isSocket(c.file) && len(c.bytes) >= 8:
		t.answer(binary.BigEndian.Uint32(c.bytes[4:]))
	}
}

func isSocket(file string) bool {
	return strings.HasPrefix(file, "socket:") || strings.HasPrefix(file, "TCP")
}

func (t *tracing) answer(correlation uint32) {
	mark, ok := t.marked(correlation)
	if !ok {
		return
	}
	t.Acks[correlation]++
	if !t.durable[mark] {
		t.Early = append(t.Early, fmt.Sprintf("request %d is answered before %s is durable", correlation, Mark(mark)))
	}
}

// end takes in that a call has returned.
func (t *tracing) end(c call, text string) error {
	_, result, ok := cutLast(text, "= ")
	if strings.HasSuffix(text, "<detached ...>") {
		return nil // the trace ends
	}
	if !ok {
		return fmt.Errorf("no result: %.80q", text)
	}
	result, _, _ = strings.Cut(result, " ")
	n, err := strconv.Atoi(result)
	switch {
	case result == "?": // it was killed meanwhile
		return nil
	case err != nil:
		return fmt.Errorf("result: %w", err)
	case c.name == "fdatasync" && n == 0:
		t.Syncs++
		for _, mark := range c.syncs {
			t.durable[mark] = true
		}
	case c.name != "fdatasync" && n > 0 && !isSocket(c.file):
		t.written[c.file] = append(t.written[c.file], marksIn(c.bytes[:min(n, len(c.bytes))])...)
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func marksIn(b []byte) (marks []uint32) {
	if !bytes.Contains(b, []byte("<mark ")) {
		return nil
	}
	for _, found := range regexp.MustCompile(`<mark ([0-9a-f]{8})>`).FindAllSubmatch(b, -1) {
		n, _ := strconv.ParseUint(string(found[1]), 16, 32) // it is a number
		marks = append(marks, uint32(n))
	}
	return marks
}
