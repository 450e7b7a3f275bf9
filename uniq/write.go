package uniq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/lines"
	"github.com/hapaxmq/hapax/ledger"
)

const (
	// maxOpen is how many lines may be written beyond the last checkpoint handed
	// over: several times that is less than a ledger can tell positions of.
	maxOpen = 3 << 20
	// maxPoints is how many inputs may end between two checkpoints.
	maxPoints = 1000
)

// writer writes chunks that have their verdicts, and the checkpoints.
type writer struct {
	o       *Options
	reader  *lines.Reader[*Named]
	outputs []*Output
	commits *commits

	last    *Source             // of the last chunk
	current *Source             // the same, if it has not ended and has no checkpoint yet
	points  []ledger.Checkpoint // of inputs that have ended since the last checkpoint
	open    int64               // lines since then
	bytes   int64

	marked   []byte
	warned   bool
	finished bool // the last checkpoint was handed over
}

func newWriter(ctx context.Context, o *Options, r *lines.Reader[*Named]) *writer {
	w := &writer{o: o, reader: r}
	for _, output := range []*Output{o.Unique, o.Duplicates, o.Conflicts} {
		if output != nil {
			w.outputs = append(w.outputs, output)
		}
	}
	w.commits = startCommits(ctx, o.Ledger, w.outputs)
	return w
}

// writeAll writes until the end of the inputs or an error.
func (w *writer) writeAll(in <-chan verdicts) error {
	tick := time.NewTicker(w.o.CheckpointTime)
	defer tick.Stop()
	for {
		select {
		case err := <-w.commits.failed:
			return err
		case <-tick.C:
			if err := w.checkpoint(false); err != nil {
				return err
			}
		case v := <-in:
			if v.fatal {
				return v.err
			}
			if v.chunk != nil {
				stopped, err := w.write(v.chunk)
				w.reader.Release(v.chunk)
				if err != nil {
					return err
				}
				if stopped != nil {
					return w.finish(stopped)
				}
			}
			if v.err != nil {
				w.settle()
			}
			if errors.Is(v.err, lines.ErrEnd) {
				return w.finish(nil)
			}
			if v.err != nil {
				return w.finish(v.err)
			}
		}
	}
}

// settle notes that all lines which the ledger was asked about are written.
func (w *writer) settle() {
	if w.last != nil && !w.last.note.Ended {
		w.last.note.Settled = true
		w.current = w.last
	}
}

// finish writes the last checkpoint of a run that ends with err.
func (w *writer) finish(err error) error {
	if failed := w.checkpoint(true); failed != nil {
		return failed
	}
	w.finished = true
	return err
}

// checkpoint hands over how far the inputs are, if anything has changed.
func (w *writer) checkpoint(wait bool) error {
	if w.current == nil && len(w.points) == 0 {
		return nil
	}
	points := w.points
	if w.current != nil {
		p, err := w.current.checkpoint()
		if err != nil {
			return err
		}
		points = append(points[:len(points):len(points)], p)
	}
	if w.commits.offer(points, wait) {
		w.current, w.points, w.open, w.bytes = nil, nil, 0, 0
	}
	return nil
}

// write writes a chunk to the outputs. It returns what stopped it before the end,
// if it was a line, and apart from that the failure of an output.
func (w *writer) write(c *Chunk) (stopped, err error) {
	n, stats, stopped, err := w.sort(c)
	if err != nil {
		return nil, err
	}
	for _, o := range w.outputs {
		if err := o.flush(); err != nil {
			return nil, err
		}
	}
	stats.Bytes = int64(c.Start(n))
	stats.Read = int64(n)
	w.o.Progress.Add(stats)
	return stopped, w.written(c, n)
}

// written notes that the first n lines of a chunk are in the outputs, and writes
// a checkpoint when it is time.
func (w *writer) written(c *Chunk, n int) error {
	source, ok := c.Input.Origin.(*Source)
	if !ok {
		return nil
	}
	source.written(c, n, w.outputs)
	w.last, w.current = source, source
	if c.Last && n == len(c.Ends) {
		p, err := source.checkpoint()
		if err != nil {
			return err
		}
		w.current, w.points = nil, append(w.points, p)
	}
	w.open += int64(n)
	w.bytes += int64(c.Start(n))
	switch {
	case w.open >= maxOpen || len(w.points) >= maxPoints:
		return w.checkpoint(true)
	case w.bytes >= w.o.CheckpointBytes:
		return w.checkpoint(false)
	}
	return nil
}

// sort adds the lines of a chunk to the outputs they belong to, up to the first
// one that stops it, and tells how many that were.
func (w *writer) sort(c *Chunk) (n int, stats Stats, stopped, err error) {
	named := c.Notes
	entries, without := named.Entries, named.Without
	stats.ByContent = int64(named.Content)
	kept := 0 // where the lines begin that pass and were not added yet
	start := 0
	for i, end := range c.Ends {
		if len(without) > 0 && int(without[0]) == i {
			without = without[1:]
			stats.WithoutID++
			start = int(end)
			continue
		}
		verdict := entries[0].Verdict
		entries = entries[1:]
		switch verdict {
		case hapax.Fresh, hapax.Redelivered:
			stats.Unique++
		case hapax.Late:
			stats.Late++
		default:
			if err := w.o.Unique.add(c.Text[kept:start]); err != nil {
				return i, stats, nil, err
			}
			kept = int(end)
			stopped, err = w.other(c, i, c.Text[start:end], verdict, &stats)
			if stopped != nil || err != nil {
				return i, stats, stopped, err
			}
		}
		start = int(end)
	}
	return len(c.Ends), stats, nil, w.o.Unique.add(c.Text[kept:])
}

// other puts away a line that is no first copy.
func (w *writer) other(c *Chunk, i int, line []byte, verdict hapax.Verdict, stats *Stats) (stopped, err error) {
	o := w.o
	switch verdict {
	case hapax.Duplicate:
		stats.Duplicates++
		switch {
		case o.Mark:
			return nil, w.mark(line, "duplicate")
		case o.Duplicates != nil:
			return nil, o.Duplicates.add(line)
		}
		return nil, nil
	case hapax.Conflict:
		return w.conflict(c, i, line, stats)
	case hapax.Stale:
		if o.OnStale == Stop {
			return fmt.Errorf("%s: %w", at(c, i), ErrStale), nil
		}
		stats.Stale++
		if o.OnStale == Pass {
			return nil, o.Unique.add(line)
		}
		return nil, nil
	case 0:
		return fmt.Errorf("%s: %w", at(c, i), c.Notes.refused), nil
	}
	return fmt.Errorf("%s: %w", at(c, i), hapax.ErrInFlight), nil
}

// at is where line i of a chunk stands.
func at(c *Chunk, i int) string { return c.Input.At(c.Line + int64(i) + 1) }

func (w *writer) conflict(c *Chunk, i int, line []byte, stats *Stats) (stopped, err error) {
	o := w.o
	if o.OnConflict == Stop {
		return fmt.Errorf("%s: %w", at(c, i), hapax.ErrConflict), nil
	}
	stats.Conflicts++
	switch {
	case o.OnConflict == Pass && !o.Mark:
		return nil, o.Unique.add(line)
	case o.Conflicts != nil:
		return nil, o.Conflicts.add(line)
	case o.Mark:
		return nil, w.mark(line, "conflict")
	}
	if !w.warned {
		w.warned = true
		o.Warn(at(c, i) + ": dropped: a line before it has the same identity and another payload")
	}
	return nil, nil
}

func (w *writer) mark(line []byte, word string) error {
	w.marked = appendMarked(w.marked[:0], line, word)
	return w.o.Unique.add(w.marked)
}
