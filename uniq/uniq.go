package uniq

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/lines"
	"github.com/hapaxmq/hapax/ledger"
)

// Ledger is what a run needs of a [ledger.Ledger].
type Ledger interface {
	Hasher(s hapax.Scope) identity.Hasher
	Admit(ctx context.Context, b *ledger.Batch) error
	AdmitSequences(ctx context.Context, b *ledger.SequenceBatch) error
	Confirm(ctx context.Context, c ledger.Checkpoint) error
	Sync(ctx context.Context) error
}

// ErrStale is a line of a sequence of which nothing tells whether it is a copy.
var ErrStale = errors.New("its number, or its epoch, is too low to tell whether it is a copy")

// Action is what becomes of a line that may be no copy: a conflict, which has the
// identity of an earlier line and another payload, or a stale one, whose number or
// epoch is too low to tell.
type Action uint8

const (
	// Drop counts it. Of a conflict it warns; with an output for conflicts, it
	// goes there.
	Drop Action = iota
	// Pass lets it through.
	Pass
	// Stop ends the run before it, for a conflict with [hapax.ErrConflict].
	Stop
)

// Options configure [Run].
type Options struct {
	Ledger Ledger
	Naming Naming // its Hasher is the ledger's if nil

	Unique     *Output
	Duplicates *Output // nil: they are dropped
	Conflicts  *Output // nil: OnConflict says
	OnConflict Action
	OnStale    Action
	Mark       bool // let duplicates, and conflicts that are dropped, through with a mark

	MaxLine int // bytes; default lines.DefaultMaxLine

	// A checkpoint is written after so many bytes of input or so much time,
	// whichever comes first (default 48 MiB, 1 s).
	CheckpointBytes int64
	CheckpointTime  time.Duration

	Progress *Progress            // nil, or told of every chunk that was written
	Warn     func(message string) // nil, or told of the first conflict that is dropped
}

func (o *Options) setDefaults() {
	if o.Naming.Hasher == nil {
		o.Naming.Hasher = o.Ledger.Hasher
	}
	if o.CheckpointBytes == 0 {
		o.CheckpointBytes = 48 << 20
	}
	if o.CheckpointTime == 0 {
		o.CheckpointTime = time.Second
	}
	if o.Progress == nil {
		o.Progress = new(Progress)
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
}

// ahead is how many chunks may have verdicts and not be written yet.
const ahead = 4

// Run writes each line of the inputs once, in order. Inputs whose Origin is a
// [*Source] have checkpoints in the ledger.
//
// An error in a line, or a conflict on which to stop, ends the run after all
// lines before it were written, and it names file and line. So does the end of
// ctx, after the lines in hand. In each case what was written has a checkpoint on
// return, and outputs are Settled. It has none after a failure of the ledger or of
// an output, and the first such failure is returned.
func Run(ctx context.Context, inputs iter.Seq2[*lines.Input, error], o Options) error {
	o.setDefaults()
	namer, err := NewNamer(o.Naming)
	if err != nil {
		return err
	}
	reading := lines.Options{Workers: runtime.GOMAXPROCS(0), MaxLine: o.MaxLine}
	r := lines.Start(ctx, inputs, reading, namer.Name)
	defer r.Close()
	judged := make(chan verdicts, ahead)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		judge(ctx, o.Ledger, r, judged, stop)
	}()
	w := newWriter(ctx, &o, r)
	err = w.writeAll(judged)
	close(stop)
	<-ended
	failed := w.commits.close()
	switch {
	case !w.finished:
		return err
	case failed != nil:
		return errors.Join(err, failed)
	}
	for _, output := range w.outputs {
		output.Settled = true
	}
	return err
}

// verdicts are a chunk that the ledger was asked about, or the error that came
// with it or instead of it.
type verdicts struct {
	chunk *Chunk
	err   error
	fatal bool // the ledger failed: the chunk has no verdicts
}

// judge asks the ledger about all chunks, in order, until an error, of which the
// end of ctx is one, or until the writer has stopped. So that no line is
// remembered and not written, ctx is heard only between chunks.
func judge(ctx context.Context, l Ledger, r *lines.Reader[*Named], out chan<- verdicts, stop <-chan struct{}) {
	for {
		var v verdicts
		v.chunk, v.err = r.Next(ctx)
		if v.chunk != nil {
			if err := admit(context.WithoutCancel(ctx), l, v.chunk); err != nil {
				v.err, v.fatal = err, true
			}
		}
		select {
		case out <- v:
		case <-stop:
			return
		}
		if v.err != nil {
			return
		}
	}
}

func admit(ctx context.Context, l Ledger, c *Chunk) error {
	if len(c.Notes.Entries) == 0 {
		return nil
	}
	source := ""
	var err error
	if s, ok := c.Input.Origin.(*Source); ok {
		source = s.name
		err = s.begin(ctx, l)
	}
	switch {
	case err != nil:
	case len(c.Notes.Numbers) > 0:
		err = admitNumbers(ctx, l, source, c.Notes)
	default:
		err = l.Admit(ctx, &ledger.Batch{Source: source, Entries: c.Notes.Entries})
	}
	if err != nil {
		return fmt.Errorf("%s: remember lines: %w", c.Input.At(c.Line+1), err)
	}
	return nil
}

func admitNumbers(ctx context.Context, l Ledger, source string, named *Named) error {
	err := l.AdmitSequences(ctx, &ledger.SequenceBatch{Source: source, Entries: named.Numbers})
	var refused *ledger.RefusedError
	if errors.As(err, &refused) {
		named.refused, err = refused.Err, nil
	}
	for i := range named.Numbers {
		named.Entries[i].Verdict = named.Numbers[i].Verdict
	}
	return err
}
