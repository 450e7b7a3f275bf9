package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hapaxmq/hapax/ledger"
	"github.com/hapaxmq/hapax/uniq"
)

// finishPipes says of the pipes that were read to their end that the run came to its
// own. One that is interrupted or fails behind their end does not say so: it is to be
// run again, with the same input.
func finishPipes(ctx context.Context, l *ledger.Ledger, c *console) error {
	p, err := readPositions(l, c)
	if err != nil {
		return err
	}
	return p.amendPipes(ctx, func(n *uniq.Note) bool {
		changed := n.Ended && !n.Done
		n.Done = n.Done || n.Ended
		return changed
	})
}

// leavePipes lets go of the pipes that were read to their end by a run that came to
// its own and was closed: whatever comes next is another one.
func (p *positions) leavePipes(ctx context.Context) error {
	return p.amendPipes(ctx, func(n *uniq.Note) bool {
		changed := n.Done && !n.Over
		n.Over = n.Over || n.Done
		return changed
	})
}

// amendPipes keeps what amend changes in what is known of pipes.
func (p *positions) amendPipes(ctx context.Context, amend func(*uniq.Note) bool) error {
	for i := range p.pipes {
		k := &p.pipes[i]
		if !amend(&k.note) {
			continue
		}
		if err := p.confirm(ctx, k.name, k.offset, k.note); err != nil {
			return err
		}
	}
	return nil
}

// pipe finds the position of a pipe that was not read to its end, or gives this
// one a position.
func (p *positions) pipe(ctx context.Context, o *opened) (known, error) {
	opening, err := openingLine(o.text)
	if err != nil || opening == "" {
		return known{}, err
	}
	for _, k := range p.pipes {
		if !p.used[k.name] && !k.note.Over && k.note.Opening == opening {
			return k, nil
		}
	}
	if err := p.leaveUnfinishedPipes(ctx); err != nil {
		return known{}, err
	}
	return p.newPipe(opening), nil
}

// newPipe gives a pipe a position, under the name of one that is over if there is one.
func (p *positions) newPipe(opening string) known {
	k := known{name: fmt.Sprintf("pipe:%d", len(p.pipes))}
	for i := range p.pipes {
		if over := &p.pipes[i]; over.note.Over {
			over.note.Over = false
			k.name, k.offset = over.name, over.offset+1
			k.note.Opening = opening
			return k
		}
	}
	p.pipes = append(p.pipes, k)
	k.note.Opening = opening
	return k
}

// resume goes behind what was done of a pipe that begins like an earlier one. If it
// turns out to be another, the run is refused, unless the user says to go on: then it
// is read from its start, which is kept in a file until that shows.
func (p *positions) resume(ctx context.Context, o *opened, k *known) error {
	if k.note.Byte == 0 {
		return nil
	}
	keep := io.Discard
	if p.leave {
		kept, err := os.CreateTemp("", "hapax-input-")
		if err != nil {
			return err
		}
		o.closers = append(o.closers, kept.Close, func() error { return os.Remove(kept.Name()) })
		keep = kept
	}
	differs, err := skipText(o.text, &k.note, keep)
	switch kept, isKept := keep.(*os.File); {
	case differs == "" || err != nil:
		return err
	case !isKept:
		return fmt.Errorf("%s: an earlier run did not come to its end, and is done with so much of its input: "+
			"feed that one again from its start, or read this one as another with --leave-input", differs)
	default:
		if _, err := kept.Seek(0, io.SeekStart); err != nil {
			return err
		}
		o.text = bufio.NewReaderSize(io.MultiReader(kept, o.text), 64<<10)
	}
	return p.replace(ctx, o, k)
}

// replace lets go of an earlier pipe for good, for another one that begins alike.
func (p *positions) replace(ctx context.Context, o *opened, k *known) error {
	if k.note.CutShort() || k.note.Left {
		p.console.say("warning: %s begins like the one that was being read when a run was cut short, and is another: "+
			"lines of that one which are in no output count as duplicates from now on", o.name)
	}
	k.note.Over = true
	if err := p.confirm(ctx, k.name, k.offset, k.note); err != nil {
		return err
	}
	k.offset++
	k.note = uniq.Note{Opening: k.note.Opening}
	return nil
}

// openingLine is a hash of the first line, as far as it belongs to the opening,
// without taking it; "" for an empty input. It waits for no more than that.
func openingLine(r *bufio.Reader) (string, error) {
	for n := 1; ; n++ {
		_, err := r.Peek(n)
		n = min(r.Buffered(), openingBytes)
		b, _ := r.Peek(n) // it is there
		end := bytes.IndexByte(b, '\n')
		ended := errors.Is(err, io.EOF)
		switch {
		case end >= 0:
			return hash(b[:end]), nil
		case err != nil && !ended:
			return "", err
		case ended && n == 0:
			return "", nil
		case ended || n == openingBytes:
			return hash(b), nil
		}
	}
}
