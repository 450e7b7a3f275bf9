package uniq

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"

	"github.com/hapaxmq/hapax/ledger"
)

// Note is what a checkpoint in the ledger keeps of an input beside its offset:
// where to go on, and how long the outputs were then.
type Note struct {
	Line    int64  `json:"line"`              // lines done
	Byte    int64  `json:"byte"`              // bytes they had
	Sum     uint32 `json:"sum"`               // CRC-32C of these bytes
	Tail    *Tail  `json:"tail,omitempty"`    // the last of them
	Ended   bool   `json:"ended,omitempty"`   // the input had no more, then
	Settled bool   `json:"settled,omitempty"` // no line behind these was remembered, when the run ended
	Left    bool   `json:"left,omitempty"`    // the user went on with another input, though it had not ended
	Done    bool   `json:"done,omitempty"`    // it ended, and so did the run, without an error
	Over    bool   `json:"over,omitempty"`    // and that run was closed
	Partial *int64 `json:"partial,omitempty"` // where its last line began, if that had no "\n"
	Opening string `json:"opening,omitempty"` // tells one pipe's content from another's
	Path    string `json:"path,omitempty"`    // where the file was, absolute
	Outputs []Mark `json:"outputs,omitempty"` // what was written so far
}

// Mark is the length of an output at a checkpoint.
type Mark struct {
	Path   string `json:"path"` // absolute
	Length int64  `json:"length"`

	// Of an output's own checkpoint:
	Settled bool `json:"settled,omitempty"` // the run that wrote it left nothing behind that length
	Unique  bool `json:"unique,omitempty"`  // lines that were let through are in it
}

// Tail is a stretch of an input's bytes that were done. It is looked at before a
// file is gone on with, as all of it cannot be: one that was written anew and begins
// as it did is noticed, and not gone on with in the midst of a line.
type Tail struct {
	Begin int64  `json:"begin"`
	End   int64  `json:"end"`
	Sum   uint32 `json:"sum"` // CRC-32C
}

const maxTail = 4096

// CutShort tells whether lines behind these may be remembered that are in no
// output: only the input itself brings them back.
func (n *Note) CutShort() bool { return !n.Over && !n.Ended && !n.Settled && !n.Left }

// ParseNote reads what a checkpoint holds.
func ParseNote(b []byte) (Note, error) {
	var n Note
	if err := json.Unmarshal(b, &n); err != nil {
		return n, fmt.Errorf("read note of checkpoint: %w", err)
	}
	if n.Line < 0 || n.Byte < 0 || n.Partial != nil && (*n.Partial < 0 || *n.Partial >= n.Byte) {
		return n, fmt.Errorf("read note of checkpoint: %s is out of range", b)
	}
	if t := n.Tail; t != nil && (t.Begin < 0 || t.End <= t.Begin || t.End-t.Begin > maxTail) {
		return n, fmt.Errorf("read note of checkpoint: %s: the tail is out of range", b)
	}
	return n, nil
}

// Marshal is what [ParseNote] reads.
func (n *Note) Marshal() ([]byte, error) {
	b, err := json.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("write note of checkpoint: %w", err)
	}
	return b, nil
}

// Source is the place of an input in the ledger. It is a [lines.Input]'s Origin.
type Source struct {
	name  string
	shift int64 // from the number of a line, counted from 0, to its offset
	note  Note  // as far as was written
	begun bool  // the ledger knows that there is more to come
}

// NewSource is the source of that name, of which all offsets up to done, which is
// 0 or more, are done. Note says where its reader stands.
func NewSource(name string, done int64, note Note) *Source {
	note.Ended, note.Settled, note.Left, note.Done = false, false, false, false
	return &Source{name: name, shift: done + 1 - note.Line, note: note}
}

// begin writes the checkpoint that comes before the first line is remembered: if
// the run is cut short there is a source to ask for.
func (s *Source) begin(ctx context.Context, l Ledger) error {
	if s.begun {
		return nil
	}
	p, err := s.checkpoint()
	if err == nil {
		err = l.Confirm(ctx, p)
	}
	s.begun = err == nil
	return err
}

// written notes that the first n lines of a chunk are in the outputs.
func (s *Source) written(c *Chunk, n int, outputs []*Output) {
	end := c.Start(n)
	note := &s.note
	note.Line, note.Byte = c.Line+int64(n), c.Byte+int64(end)
	note.Sum = Checksum(note.Sum, c.Text[:end])
	note.Ended = c.Last && n == len(c.Ends)
	note.Settled = false
	if n > 0 {
		tail := c.Text[max(end-maxTail, 0):end]
		note.Tail = &Tail{Begin: note.Byte - int64(len(tail)), End: note.Byte, Sum: Checksum(0, tail)}
		note.Partial = nil
		if c.Text[end-1] != '\n' {
			partial := c.Byte + int64(c.Start(n-1))
			note.Partial = &partial
		}
	}
	note.Outputs = note.Outputs[:0]
	for _, o := range outputs {
		if o.Path != "" {
			note.Outputs = append(note.Outputs, Mark{Path: o.Path, Length: o.Length})
		}
	}
}

// checkpoint is what the ledger is to keep of the source by now.
func (s *Source) checkpoint() (ledger.Checkpoint, error) {
	note, err := s.note.Marshal()
	return ledger.Checkpoint{Source: s.name, Offset: s.note.Line + s.shift - 1, Note: note}, err
}

// Checksum adds bytes to a [Note]'s sum. It is there to notice an input that is
// not the one it was, not one that was forged.
func Checksum(sum uint32, b []byte) uint32 {
	return crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), b)
}
