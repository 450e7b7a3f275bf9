package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hapaxmq/hapax/ledger"
	"github.com/hapaxmq/hapax/uniq"
)

// written is an output of this run or of an earlier one. It has a checkpoint of its
// own, from before it is written to: no other file is cut. When a run comes to its
// end it says there that the output is settled. Then whatever stands behind was not
// written by a run, and is not cut off.
type written struct {
	length  int64 // at its last checkpoint
	settled bool
	unique  bool // lines that were let through are in it
}

const outputPrefix = "output:"

// with is what is known of an output with one more checkpoint.
func (o written) with(m uniq.Mark) written {
	settled := m.Settled
	if m.Length == o.length {
		settled = settled || o.settled
	}
	if m.Length >= o.length {
		o.length, o.settled = m.Length, settled
	}
	o.unique = o.unique || m.Unique
	return o
}

// checkOutputs refuses to destroy what somebody else wrote: an output that the
// ledger does not know must be empty, or not be there yet, and one that the last run
// left settled must not have grown.
func (p *positions) checkOutputs(names []string) error {
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
			continue // whoever opens it says what is wrong
		}
		path, err := filepath.Abs(name)
		if err != nil {
			return err
		}
		o, known := p.outputs[path]
		switch {
		case !known:
			return fmt.Errorf("%s has %d bytes that were not written with this ledger: move it away, name another file, "+
				"or name the ledger that wrote it", name, info.Size())
		case o.settled && info.Size() > o.length:
			return fmt.Errorf("%s has %d bytes behind the %d that were in it when the last run ended: somebody else wrote them, "+
				"and to go on would cut them off; move them to another file, or name another file for what is new",
				name, info.Size()-o.length, o.length)
		}
	}
	return nil
}

// tellNew says of an output that the ledger has not written to that it begins with
// what is new: what was let through before went elsewhere.
func (p *positions) tellNew(name string) error {
	path := ""
	if name != "" {
		var err error
		if path, err = filepath.Abs(name); err != nil {
			return err
		}
	}
	if p.outputs[path].unique {
		return nil
	}
	var before []string
	for other, o := range p.outputs {
		if o.unique {
			before = append(before, other)
		}
	}
	slices.Sort(before)
	switch {
	case name == "" && len(before) > 0:
		p.console.say("only what is new is printed: what this ledger has let through so far went to %s", someOf(before))
	case name != "" && len(before) > 0:
		p.console.say("%s gets only what is new: what this ledger has let through so far went to %s", name, someOf(before))
	case name != "" && len(p.files)+len(p.pipes) > 0:
		p.console.say("%s gets only what is new to this ledger: what it has let through so far was written elsewhere", name)
	}
	return nil
}

// someOf names a few of the files.
func someOf(paths []string) string {
	const few = 3
	if len(paths) <= few {
		return strings.Join(paths, ", ")
	}
	return fmt.Sprintf("%s and %d other files", strings.Join(paths[:few], ", "), len(paths)-few)
}

// keepOutputs gives each output a checkpoint of its own that says what is known.
func (p *positions) keepOutputs(ctx context.Context) error {
	for path, o := range p.outputs {
		name := outputPrefix + hash([]byte(path))
		note := uniq.Note{Outputs: []uniq.Mark{{Path: path, Length: o.length, Settled: o.settled, Unique: o.unique}}}
		text, err := note.Marshal()
		if err != nil {
			return err
		}
		if c, ok := p.ledger.Checkpoint(name); ok && c.Offset == o.length && bytes.Equal(c.Note, text) {
			continue
		}
		if err := p.ledger.Confirm(ctx, ledger.Checkpoint{Source: name, Offset: o.length, Note: text}); err != nil {
			return fmt.Errorf("write length of %s: %w", path, err)
		}
	}
	return nil
}

// settle says of the outputs of a run that ended what is in them.
func (p *positions) settle(ctx context.Context, outputs ...*uniq.Output) error {
	for _, o := range outputs {
		if o == nil || o.Path == "" || !o.Settled {
			continue
		}
		if err := o.File.Sync(); err != nil {
			return fmt.Errorf("sync %s: %w", o.Name, err)
		}
		w := p.outputs[o.Path]
		w.length, w.settled = o.Length, true
		p.outputs[o.Path] = w
	}
	return p.keepOutputs(context.WithoutCancel(ctx))
}
