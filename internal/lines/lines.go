package lines

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"sync"
)

const (
	chunkBytes = 256 << 10
	chunkLines = 8 << 10 // so that what work notes of a line has a bound too
	maxGrown   = 2       // chunks at once that have grown for a long line
)

// DefaultMaxLine is the longest line that is read, in bytes, if nothing else is
// said.
const DefaultMaxLine = 64 << 20

var (
	// ErrEnd is the end of all inputs.
	ErrEnd = errors.New("end of all inputs")
	// ErrTooLong is a line longer than asked for.
	ErrTooLong = errors.New("line is too long")
)

// Input is a stream of lines.
type Input struct {
	Name   string // for people
	Reader io.Reader
	Live   bool  // hand lines on as they come, not by the full chunk
	Line   int64 // lines before what Reader reads
	Byte   int64 // bytes before it
	Origin any   // the caller's own
}

// At names line number n of the input, counted from 1, for errors.
func (in *Input) At(n int64) string { return fmt.Sprintf("%s:%d", in.Name, n) }

// Chunk is some whole lines of one input.
type Chunk[T any] struct {
	Input *Input
	Text  []byte  // the lines, each with its "\n"; the input's last one may have none
	Ends  []int32 // where in Text each line ends, its "\n" included
	Line  int64   // lines of the input before it
	Byte  int64   // bytes of the input before it
	Last  bool    // of its input, each of which has one, be it empty
	Notes T       // what work found; work begins with what it left there long before

	buf    []byte
	worked chan error // one for each time round
}

// Value is line i without its "\n".
func (c *Chunk[T]) Value(i int) []byte {
	start, end := c.Start(i), int(c.Ends[i])
	if c.Text[end-1] == '\n' {
		end--
	}
	return c.Text[start:end:end]
}

// Start is where in Text line i starts.
func (c *Chunk[T]) Start(i int) int {
	if i == 0 {
		return 0
	}
	return int(c.Ends[i-1])
}

// Options bound a [Reader]. The zero value of each field works.
type Options struct {
	Workers int // default 1
	MaxLine int // bytes of a line without its "\n"; default DefaultMaxLine
}

// Reader reads the lines of several inputs, one after the other.
type Reader[T any] struct {
	work    func(*Chunk[T]) error
	maxLine int

	free  chan *Chunk[T]
	grown chan struct{}  // a token for each chunk that has grown
	todo  chan *Chunk[T] // for the workers
	order chan *Chunk[T] // for the caller
	err   error          // why order was closed

	stop    context.CancelFunc
	workers sync.WaitGroup
}

// Start begins to read. The inputs are asked for one by one, on a goroutine of
// their own. Work runs on several at once, each with a chunk of its own, and
// must not keep it; its error is Next's when the chunk's turn comes.
func Start[T any](ctx context.Context, inputs iter.Seq2[*Input, error], o Options, work func(*Chunk[T]) error) *Reader[T] {
	workers := max(o.Workers, 1)
	// One is being read, one carried over to, one in hand; the others wait between
	// two steps, so that no step has to.
	chunks := workers + 9
	r := &Reader[T]{
		work: work, maxLine: o.MaxLine,
		free: make(chan *Chunk[T], chunks), grown: make(chan struct{}, maxGrown),
		todo: make(chan *Chunk[T], chunks), order: make(chan *Chunk[T], chunks),
	}
	if r.maxLine <= 0 {
		r.maxLine = DefaultMaxLine
	}
	for range chunks {
		r.free <- &Chunk[T]{worked: make(chan error, 1)}
	}
	ctx, r.stop = context.WithCancel(ctx)
	for range workers {
		r.workers.Go(func() {
			for c := range r.todo {
				c.worked <- r.cutAndWork(c)
			}
		})
	}
	go func() {
		defer close(r.order)
		defer close(r.todo)
		r.err = r.readAll(ctx, inputs)
	}()
	return r
}

// Next returns the next chunk, in order, which is the caller's until it is
// released. With a chunk, the error is that of the work on it. Without one, it is
// that of an input, after all lines before it, or [ErrEnd] after the last one, or
// ctx's.
func (r *Reader[T]) Next(ctx context.Context) (*Chunk[T], error) {
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case c, ok := <-r.order:
		if !ok {
			return nil, r.err
		}
		return c, <-c.worked
	}
}

// Release gives a chunk back to be filled anew. It must not be used any more.
func (r *Reader[T]) Release(c *Chunk[T]) {
	if cap(c.buf) > chunkBytes {
		c.buf = nil
		<-r.grown
	}
	r.free <- c
}

// Close stops the reading and waits for work in hand. It does not wait for the
// Read of an input, which may be waiting for someone to type.
func (r *Reader[T]) Close() {
	r.stop()
	go func() {
		for range r.order { // so that nothing waits for a caller
		}
	}()
}

func (r *Reader[T]) readAll(ctx context.Context, inputs iter.Seq2[*Input, error]) error {
	for in, err := range inputs {
		if err != nil {
			return err
		}
		if err := r.read(ctx, in); err != nil {
			return err
		}
	}
	return ErrEnd
}

// read cuts an input into chunks.
func (r *Reader[T]) read(ctx context.Context, in *Input) error {
	c, err := r.take(ctx, nil)
	if err != nil {
		return err
	}
	at := place{line: in.Line, byte: in.Byte}
	for ended := false; ; {
		var fault error
		if !ended {
			ended, fault = r.fill(ctx, in, c)
		}
		end, n := cut(c.buf, ended)
		c.Input, c.Text, c.Line, c.Byte = in, c.buf[:end], at.line, at.byte
		c.Last = ended && end == len(c.buf)
		if c.Last || fault != nil {
			r.hand(c)
			if fault != nil {
				return fmt.Errorf("%s: %w", in.At(at.line+n+1), fault)
			}
			return nil
		}
		next, err := r.take(ctx, c.buf[end:])
		if err != nil {
			return err
		}
		r.hand(c)
		c, at = next, at.plus(n, end)
	}
}

// place is a place in an input.
type place struct{ line, byte int64 }

func (p place) plus(lines int64, bytes int) place {
	return place{p.line + lines, p.byte + int64(bytes)}
}

// take waits for a chunk to fill and begins it with what is left of the last one.
func (r *Reader[T]) take(ctx context.Context, rest []byte) (*Chunk[T], error) {
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case c := <-r.free:
		if c.buf == nil {
			c.buf = make([]byte, 0, chunkBytes)
		}
		c.buf = c.buf[:0]
		if err := r.grow(ctx, c, len(rest)); err != nil {
			return nil, err
		}
		c.buf = append(c.buf, rest...)
		return c, nil
	}
}

// hand gives a chunk to a worker and, in turn, to the caller.
func (r *Reader[T]) hand(c *Chunk[T]) {
	r.todo <- c
	r.order <- c
}

// fill reads until c is full, or holds a line if the input is live, and tells
// whether the input has ended. A chunk without a single line grows.
func (r *Reader[T]) fill(ctx context.Context, in *Input, c *Chunk[T]) (ended bool, err error) {
	for !enough(in, c) {
		if len(c.buf) == cap(c.buf) {
			if len(c.buf) > r.maxLine {
				return false, r.tooLong()
			}
			if err := r.grow(ctx, c, min(2*cap(c.buf), r.maxLine+1)); err != nil {
				return false, err
			}
		}
		n, err := in.Reader.Read(c.buf[len(c.buf):cap(c.buf)])
		c.buf = c.buf[:len(c.buf)+n]
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			var at *fs.PathError
			if errors.As(err, &at) {
				err = at.Err // the input's name says where
			}
			return false, fmt.Errorf("read: %w", err)
		}
	}
	return false, nil
}

// enough tells whether a chunk can be handed on.
func enough[T any](in *Input, c *Chunk[T]) bool {
	if len(c.buf) < cap(c.buf) && !in.Live {
		return false
	}
	return bytes.IndexByte(c.buf, '\n') >= 0
}

// grow makes room for n bytes in c. A chunk larger than the others holds a token.
func (r *Reader[T]) grow(ctx context.Context, c *Chunk[T], n int) error {
	if n <= cap(c.buf) {
		return nil
	}
	if cap(c.buf) <= chunkBytes {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case r.grown <- struct{}{}:
		}
	}
	c.buf = append(make([]byte, 0, n), c.buf...)
	return nil
}

// cut returns where the last whole line of text ends, of those that a chunk may
// hold, and how many lines that is. Where the input has ended a line needs no
// "\n".
func cut(text []byte, ended bool) (end int, lines int64) {
	n := bytes.Count(text, []byte{'\n'})
	if n > chunkLines {
		for range chunkLines {
			end += bytes.IndexByte(text[end:], '\n') + 1
		}
		return end, chunkLines
	}
	end = bytes.LastIndexByte(text, '\n') + 1
	if ended && n < chunkLines && end < len(text) {
		return len(text), int64(n) + 1
	}
	return end, int64(n)
}

// cutAndWork finds the lines of a chunk and has them worked on. Those before one
// that is too long are.
func (r *Reader[T]) cutAndWork(c *Chunk[T]) error {
	c.Ends = c.Ends[:0]
	for at := 0; at < len(c.Text); {
		length := bytes.IndexByte(c.Text[at:], '\n')
		end := at + length + 1
		if length < 0 {
			end = len(c.Text)
			length = end - at
		}
		if length > r.maxLine {
			c.Text, c.Last = c.Text[:at], false
			if err := r.work(c); err != nil {
				return err
			}
			return fmt.Errorf("%s: %w", c.Input.At(c.Line+int64(len(c.Ends))+1), r.tooLong())
		}
		c.Ends = append(c.Ends, int32(end))
		at = end
	}
	return r.work(c)
}

func (r *Reader[T]) tooLong() error {
	return fmt.Errorf("%w: more than %d bytes", ErrTooLong, r.maxLine)
}
