package hookstream

import (
	"bufio"
	"container/heap"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"
)

// Options say what stream to make. Messages or Bytes must be set; the first of
// them to be reached ends the stream.
type Options struct {
	Payloads   []Payload
	Messages   int64         // lines
	Bytes      int64         // at least this many, up to the end of a line
	Seed       uint64        // the same seed and options make the same bytes
	Duplicates float64       // share of lines that are copies, from 0 to 0.5
	Start      time.Time     // received_at of the first line; 2026-01-01 if zero
	Span       time.Duration // from the first received_at to about the last; 72 h if zero
}

func (o *Options) setDefaults() {
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.Span == 0 {
		o.Span = 72 * time.Hour
	}
}

func (o *Options) validate() error {
	switch {
	case len(o.Payloads) == 0:
		return errors.New("make stream: no payloads")
	case len(o.Payloads) > math.MaxUint32:
		return errors.New("make stream: too many payloads")
	case o.Messages < 0 || o.Bytes < 0 || o.Messages == 0 && o.Bytes == 0:
		return errors.New("make stream: set Messages or Bytes, to more than 0")
	case !(o.Duplicates >= 0 && o.Duplicates <= 0.5):
		return fmt.Errorf("make stream: Duplicates is %v, want 0 to 0.5", o.Duplicates)
	case o.Start.Year() < 1970 || o.Start.Year() > 9000:
		return errors.New("make stream: Start is before 1970 or after 9000")
	case o.Span < 0 || o.Span > 100*365*24*time.Hour:
		return errors.New("make stream: Span is negative or longer than 100 years")
	}
	return nil
}

// How a hundred copies divide into classes.
const (
	lostAcks     = 40
	retries      = 20
	sameContents = 10
	conflicts    = 5
	followed     = lostAcks + retries + sameContents + conflicts
	replayed     = 100 - followed

	minReplay, maxReplay = 8, 64 // lines
	historyLines         = 1 << 18
)

// Write makes a stream and says what is in it. It holds the last 2^18 lines in
// a few bytes each, what ages of copies the truth needs, and one label a line.
func Write(w io.Writer, o Options) (*Truth, error) {
	o.setDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	g, err := newGenerator(w, o)
	if err != nil {
		return nil, fmt.Errorf("make stream: %w", err)
	}
	if err := g.run(); err != nil {
		return nil, fmt.Errorf("write stream: %w", err)
	}
	return g.truth.finish(g.Seed, g.at.offset), nil
}

// generator counts in integers only: floating point may differ in the last bit
// between machines, and one bit makes another stream.
type generator struct {
	Options
	templates []*template
	out       *bufio.Writer
	scratch   []byte
	source    rand.PCG
	truth     recorder

	gap     uint64 // mean time between new messages, in microseconds
	next    uint64 // when the next new message comes, in microseconds since 1970
	serials uint64 // given out
	at      place  // of the next line
	due     followUps
	history []line // a ring of the last lines
	copies  uint64 // that follow a million new messages
	owed    uint64 // lines of replay that are due, in hundred millionths
	replay  uint64 // lines of the next one
}

func newGenerator(w io.Writer, o Options) (*generator, error) {
	g := &generator{Options: o, out: bufio.NewWriterSize(w, 1<<20)}
	var size int64
	for _, p := range o.Payloads {
		t, err := newTemplate(p)
		if err != nil {
			return nil, err
		}
		g.templates = append(g.templates, t)
		size += int64(len(p.Body)) + 128
	}
	g.source.Seed(o.Seed, 0x6861706178)
	messages := o.Messages
	if n := o.Bytes / (size / int64(len(o.Payloads))); o.Bytes > 0 && (o.Messages == 0 || n < messages) {
		messages = n
	}
	share := uint64(math.Round(o.Duplicates * 1e6))
	g.copies = share * 1e6 / (1e6 - share)
	fresh := max(uint64(messages)/1e6*(1e6-share)+uint64(messages)%1e6*(1e6-share)/1e6, 1)
	g.gap = uint64(o.Span.Microseconds()) / fresh
	g.next = uint64(o.Start.UnixMicro())
	g.replay = g.replayLength()
	return g, nil
}

func (g *generator) run() error {
	for !g.done() {
		var err error
		switch {
		case g.owed >= g.replay*1e8 && uint64(g.at.number) >= g.replay:
			err = g.writeReplay()
		case len(g.due) > 0 && g.due[0].at <= int64(g.next/1000):
			err = g.writeFollowUp(heap.Pop(&g.due).(followUp))
		default:
			err = g.writeFresh()
		}
		if err != nil {
			return err
		}
	}
	return g.out.Flush()
}

func (g *generator) done() bool {
	return g.Messages > 0 && g.at.number >= g.Messages || g.Bytes > 0 && g.at.offset >= g.Bytes
}

// emit writes l, remembers it for replays and notes the truth about it.
func (g *generator) emit(l *line) error {
	g.at.clock = max(g.at.clock, l.received)
	if l.class == Fresh {
		l.first = g.at
	}
	g.scratch = g.appendLine(g.scratch[:0], l)
	g.truth.note(l, g.at)
	if l.class == SameContent {
		l.first = g.at // of its own delivery id, which a replay repeats
	}
	if len(g.history) < historyLines {
		g.history = append(g.history, *l)
	} else {
		g.history[g.at.number%historyLines] = *l
	}
	g.at.number++
	g.at.offset += int64(len(g.scratch))
	_, err := g.out.Write(g.scratch)
	return err
}

// writeFresh writes a new message and decides what copy of it will follow.
// Messages come in bursts: nine gaps in ten are a tenth of the mean gap long.
func (g *generator) writeFresh() error {
	now := int64(g.next / 1000)
	l := line{class: Fresh, received: now, delivery: g.newSerial()}
	l.content = content{
		template: uint32(below(&g.source, uint64(len(g.templates)))),
		base:     l.delivery, serial: l.delivery, created: now,
	}
	gap := g.gap / 10
	if below(&g.source, 10) == 0 {
		gap = g.gap * 91 / 10
	}
	g.next += exponential(&g.source, gap)
	if err := g.emit(&l); err != nil {
		return err
	}
	g.owed += g.copies * replayed
	if below(&g.source, 1e8) < g.copies*followed {
		g.schedule(l)
	}
	return nil
}

// schedule decides how and when the message l is met again.
func (g *generator) schedule(l line) {
	const second, minute, hour = 1000, 60_000, 3_600_000 // in milliseconds
	var delay uint64
	switch roll := below(&g.source, followed); {
	case roll < lostAcks:
		l.class, delay = LostAck, spread(&g.source, 200, 2*minute)
	case roll < lostAcks+retries:
		l.class, delay = Retry, spread(&g.source, second, 6*hour)
	case roll < lostAcks+retries+sameContents:
		l.class, delay = SameContent, spread(&g.source, second, 55*second)
	default:
		l.class, delay = Conflict, spread(&g.source, second, 24*hour)
	}
	heap.Push(&g.due, followUp{at: l.received + int64(delay), line: l})
}

func (g *generator) writeFollowUp(f followUp) error {
	l := f.line
	switch l.class {
	case Retry:
		l.reordered = true
	case SameContent:
		l.delivery, l.received = g.newSerial(), f.at
	case Conflict:
		l.serial, l.received = g.newSerial(), f.at
	}
	return g.emit(&l)
}

// writeReplay writes a range of earlier lines again, as they were.
func (g *generator) writeReplay() error {
	length := g.replay
	g.owed -= length * 1e8
	g.replay = g.replayLength()
	have := uint64(len(g.history))
	start := uint64(g.at.number) - have + below(&g.source, have-length+1)
	lines := make([]line, length)
	for i := range lines {
		lines[i] = g.history[(start+uint64(i))%historyLines]
	}
	for i := range lines {
		l := &lines[i]
		if l.class == Conflict || l.class == ReplayedConflict {
			l.class = ReplayedConflict
		} else {
			l.class = Replay
		}
		if g.done() {
			return nil
		}
		if err := g.emit(l); err != nil {
			return err
		}
	}
	return nil
}

func (g *generator) newSerial() uint64 {
	g.serials++
	return g.serials
}

func (g *generator) replayLength() uint64 {
	return minReplay + below(&g.source, maxReplay-minReplay+1)
}

// followUp is a copy that will come.
type followUp struct {
	at   int64 // milliseconds since 1970
	line line
}

// followUps is a heap, the next one first; of equals, the one of the older
// message.
type followUps []followUp

func (f followUps) Len() int      { return len(f) }
func (f followUps) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *followUps) Push(x any)   { *f = append(*f, x.(followUp)) }
func (f followUps) Less(i, j int) bool {
	return f[i].at < f[j].at || f[i].at == f[j].at && f[i].line.serial < f[j].line.serial
}

func (f *followUps) Pop() any {
	old := *f
	last := old[len(old)-1]
	*f = old[:len(old)-1]
	return last
}
