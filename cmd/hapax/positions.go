package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hapaxmq/hapax/internal/lines"
	"github.com/hapaxmq/hapax/ledger"
	"github.com/hapaxmq/hapax/uniq"
)

// positions are what a ledger knows of inputs and outputs of earlier runs.
//
// A file is known by its device, its inode and a hash of its first bytes, under
// the name "file:ID:BYTES:HASH". A pipe has no name of its own: if the run that
// read it was killed, it is known again by its first line, and if not it leaves
// its name, "pipe:NUMBER", to the next. One that was cut short must come again
// before others do: see unfinished.go. Under "output:HASH" is what is known of an
// output: see written.go.
type positions struct {
	ledger  *ledger.Ledger
	console *console
	files   map[string][]known // by ID
	pipes   []known            // by number
	outputs map[string]written // by path
	used    map[string]bool    // names of this run
	leave   bool               // go on though an earlier pipe was not read to its end
}

// known is an input or an output with a checkpoint.
type known struct {
	name   string
	offset int64
	note   uniq.Note
}

// openingBytes is how much of a file's beginning tells it from another one.
const openingBytes = 4096

func readPositions(l *ledger.Ledger, c *console) (*positions, error) {
	p := &positions{
		ledger: l, console: c,
		files: map[string][]known{}, outputs: map[string]written{}, used: map[string]bool{},
	}
	for _, c := range l.Checkpoints() {
		kind, rest, _ := strings.Cut(c.Source, ":")
		if kind != "file" && kind != "pipe" && kind != "output" {
			continue // somebody else's
		}
		note, err := uniq.ParseNote(c.Note)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", c.Source, err)
		}
		for _, m := range note.Outputs {
			p.outputs[m.Path] = p.outputs[m.Path].with(m)
		}
		k := known{c.Source, c.Offset, note}
		switch kind {
		case "file":
			fields := strings.Split(rest, ":")
			id := strings.Join(fields[:max(len(fields)-2, 0)], ":")
			p.files[id] = append(p.files[id], k)
		case "pipe":
			p.pipes = append(p.pipes, k)
		}
	}
	return p, nil
}

func (p *positions) confirm(ctx context.Context, name string, offset int64, note uniq.Note) error {
	b, err := note.Marshal()
	if err == nil {
		err = p.ledger.Confirm(ctx, ledger.Checkpoint{Source: name, Offset: offset, Note: b})
	}
	if err != nil {
		return fmt.Errorf("write position of %s: %w", name, err)
	}
	return nil
}

// place lets an input go on where it was left. One that is read a second time in
// this run needs no position: all its lines are remembered.
func (p *positions) place(ctx context.Context, o *opened, in *lines.Input) (err error) {
	var k known
	isFile := o.info != nil && o.regular
	if isFile {
		k, err = p.file(o.file, o.info, o.name)
	} else {
		k, err = p.pipe(ctx, o)
	}
	switch {
	case err != nil:
		return fmt.Errorf("read %s: %w", o.name, err)
	case k.name == "":
		in.Reader = nil
		return nil
	case p.used[k.name]:
		return nil
	}
	p.used[k.name] = true
	if isFile {
		err = p.skip(o, &k.note)
	} else {
		err = p.resume(ctx, o, &k)
		in.Reader = o.text
	}
	if err != nil {
		return fmt.Errorf("%s: go on behind line %s: %w", o.name, count(k.note.Line), err)
	}
	if k.note.Line > 0 {
		p.console.say("%s: going on behind line %s, where an earlier run ended", o.name, count(k.note.Line))
	}
	in.Line, in.Byte = k.note.Line, k.note.Byte
	in.Origin = uniq.NewSource(k.name, k.offset, k.note)
	return nil
}

// file finds a file's position, or gives it one. An empty file has none.
func (p *positions) file(f *os.File, info fs.FileInfo, name string) (known, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return known{}, err
	}
	id := fileID(info, name)
	for _, k := range p.files[id] {
		same, err := k.begins(f)
		if err != nil {
			return known{}, err
		}
		if same {
			k.note.Path = path
			return k, nil
		}
	}
	opening, err := openingOf(f, openingBytes)
	if err != nil || len(opening) == 0 {
		return known{}, err
	}
	k := known{name: fmt.Sprintf("file:%s:%d:%s", id, len(opening), hash(opening)), note: uniq.Note{Path: path}}
	p.files[id] = append(p.files[id], k)
	return k, nil
}

// begins tells whether a file has the first bytes that k has in its name.
func (k *known) begins(f *os.File) (bool, error) {
	fields := strings.Split(k.name, ":")
	n, err := strconv.Atoi(fields[max(len(fields)-2, 0)])
	if err != nil || n > openingBytes {
		return false, fmt.Errorf("%q is no name of a file's position", k.name)
	}
	opening, err := openingOf(f, n)
	return len(opening) == n && hash(opening) == fields[len(fields)-1], err
}

// skip goes behind what was done of an input.
func (p *positions) skip(o *opened, n *uniq.Note) error {
	if o.text != nil {
		differs, err := skipText(o.text, n, io.Discard)
		if differs != "" {
			err = fmt.Errorf("%s: give what is new in it as a file of its own", differs)
		}
		return err
	}
	if size := o.info.Size(); size < n.Byte {
		return fmt.Errorf("it has %d bytes left of %d: put it back, or give what is new in it as a file of its own", size, n.Byte)
	}
	if err := checkTail(o.file, n.Tail); err != nil {
		return err
	}
	if err := p.grown(o, n); err != nil {
		return err
	}
	_, err := o.file.Seek(n.Byte, io.SeekStart)
	return err
}

// checkTail demands of a file that the last that was read of it is there still.
func checkTail(f *os.File, t *uniq.Tail) error {
	if t == nil {
		return nil
	}
	b := make([]byte, t.End-t.Begin)
	if _, err := f.ReadAt(b, t.Begin); err != nil {
		return err
	}
	if uniq.Checksum(0, b) != t.Sum {
		return errors.New("what comes before is not what it was, though the file begins alike: " +
			"put it back, or give a copy of it, which is read from its start")
	}
	return nil
}

// skipText reads what was done of an input that cannot be sought in, and writes what
// it reads to one who keeps it. It tells how the input differs from what it was, "" if
// it does not.
func skipText(text *bufio.Reader, n *uniq.Note, keep io.Writer) (differs string, err error) {
	sum := checksum(0)
	read, err := io.CopyN(io.MultiWriter(&sum, keep), text, n.Byte)
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Sprintf("it begins like what it was, but ends after %d bytes of %d", read, n.Byte), nil
	case err != nil:
		return "", err
	case uint32(sum) != n.Sum:
		return "it is not what it was, though it begins alike", nil
	case n.Partial == nil:
		return "", nil
	}
	next, err := text.Peek(1)
	switch {
	case errors.Is(err, io.EOF):
		return "", nil
	case err != nil:
		return "", err
	case next[0] != '\n':
		return `that line had no "\n" and has grown`, nil
	}
	n.Byte, n.Partial, n.Sum = n.Byte+1, nil, uniq.Checksum(n.Sum, next)
	_, err = text.Discard(1)
	return "", err
}

// grown looks at what came behind a last line that had no "\n" when it was read:
// its end, or more of it. That makes it another line.
func (p *positions) grown(o *opened, n *uniq.Note) error {
	if n.Partial == nil || o.info.Size() == n.Byte {
		return nil
	}
	var next [1]byte
	if _, err := o.file.ReadAt(next[:], n.Byte); err != nil {
		return err
	}
	if next[0] == '\n' {
		n.Byte++
	} else {
		p.console.say(`%s:%d: had no "\n" when it was read and has grown: taken as another line`, o.name, n.Line)
		n.Byte = *n.Partial
		n.Line--
	}
	n.Partial = nil
	return nil
}

// checksum is a writer that keeps a [uniq.Checksum] only.
type checksum uint32

func (c *checksum) Write(b []byte) (int, error) {
	*c = checksum(uniq.Checksum(uint32(*c), b))
	return len(b), nil
}

// openingOf returns the first bytes of a file, n if it has that many.
func openingOf(f *os.File, n int) ([]byte, error) {
	b := make([]byte, n)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
