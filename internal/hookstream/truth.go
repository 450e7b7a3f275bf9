package hookstream

import (
	"slices"
	"time"

	"github.com/hapaxmq/hapax"
)

// Class says where a line comes from. Its letter stands for it in
// [Truth.Labels].
type Class byte

const (
	// Fresh is a new message.
	Fresh Class = 'f'
	// LostAck is a line again, the same bytes, shortly after: its
	// acknowledgement was lost and the producer sent it once more.
	LostAck Class = 'a'
	// Retry is a message again with its JSON fields in another order, as a
	// producer that builds it anew sends it. It means the same.
	Retry Class = 'r'
	// Replay is a line of an earlier range that was read and sent again.
	Replay Class = 'p'
	// Conflict is an earlier delivery id with another payload.
	Conflict Class = 'c'
	// ReplayedConflict is a Conflict line in a replay.
	ReplayedConflict Class = 'q'
	// SameContent is an earlier payload within a minute under a new delivery
	// id: the same user with the same text, who clicked twice.
	SameContent Class = 's'
)

// classes are all of them, with what each is by delivery id, by content
// (the event and the payload, their meaning and not their bytes) and by line.
// A Fresh message is a first sight; so is a Conflict's payload.
var classes = [...]struct {
	class             Class
	name              string
	id, content, line hapax.Verdict
}{
	{Fresh, "fresh", hapax.Fresh, hapax.Fresh, hapax.Fresh},
	{LostAck, "lost ack", hapax.Duplicate, hapax.Duplicate, hapax.Duplicate},
	{Retry, "retry", hapax.Duplicate, hapax.Duplicate, hapax.Fresh},
	{Replay, "replay", hapax.Duplicate, hapax.Duplicate, hapax.Duplicate},
	{Conflict, "conflict", hapax.Conflict, hapax.Fresh, hapax.Fresh},
	{ReplayedConflict, "replayed conflict", hapax.Conflict, hapax.Duplicate, hapax.Duplicate},
	{SameContent, "same content", hapax.Fresh, hapax.Duplicate, hapax.Fresh},
}

func (c Class) String() string {
	for _, k := range classes {
		if k.class == c {
			return k.name
		}
	}
	return "unknown class"
}

// Verdicts are what a ledger without bounds says of a line of class c when
// messages are named by delivery id, by content, and by line.
func (c Class) Verdicts() (id, content, line hapax.Verdict) {
	for _, k := range classes {
		if k.class == c {
			return k.id, k.content, k.line
		}
	}
	return 0, 0, 0
}

// Truth is what a stream holds.
type Truth struct {
	Seed  uint64    `json:"seed"`
	Lines int64     `json:"lines"`
	Bytes int64     `json:"bytes"` // line feeds included
	From  time.Time `json:"from"`  // first and latest received_at
	To    time.Time `json:"to"`

	Classes map[string]int64 `json:"classes"` // lines of each, by name

	ID      Counts `json:"id"`      // by "delivery"
	Content Counts `json:"content"` // by all fields but "delivery" and "received_at"
	Line    Counts `json:"line"`    // by bytes

	Ages     Ages      `json:"ages"`
	Examples []Example `json:"examples"` // up to three of each class, of the first lines

	Letters map[string]string `json:"letters"` // letter in Labels → class
	Labels  string            `json:"labels"`  // a letter a line: its class
}

// Counts are what a ledger without bounds says of a stream.
type Counts struct {
	Unique     int64 `json:"unique"`
	Duplicates int64 `json:"duplicates"`
	Conflicts  int64 `json:"conflicts"`
}

// Ages are how old duplicates by delivery id are: how far after the first
// sight of the id.
type Ages struct {
	Milliseconds Quantiles `json:"milliseconds"` // of the latest received_at so far
	Messages     Quantiles `json:"messages"`     // lines between the two
	Bytes        Quantiles `json:"bytes"`        // from the start of the one to the start of the other
}

// Quantiles of a set of numbers: P90 is its smallest number that nine in ten
// are not above.
type Quantiles struct {
	P50  int64 `json:"p50"`
	P90  int64 `json:"p90"`
	P99  int64 `json:"p99"`
	P999 int64 `json:"p99_9"`
	Max  int64 `json:"max"`
}

// Example is a line and the one that it is a copy of: where its delivery id
// was first seen; of a SameContent line, its payload.
type Example struct {
	Class    string `json:"class"`
	Line     int64  `json:"line"` // counted from 1
	First    int64  `json:"first"`
	Delivery string `json:"delivery"`
}

// recorder collects the truth while a stream is written.
type recorder struct {
	labels                  []byte
	millis, messages, bytes []int64 // ages of duplicates by id
	examples                []struct {
		line
		number int64
	}
	from, to  place
	perLetter [256]int64
}

const examplesPerClass = 3

func (r *recorder) note(l *line, at place) {
	if len(r.labels) == 0 {
		r.from = at
	}
	r.to = at
	r.labels = append(r.labels, byte(l.class))
	r.perLetter[l.class]++
	if r.perLetter[l.class] <= examplesPerClass {
		r.examples = append(r.examples, struct {
			line
			number int64
		}{*l, at.number})
	}
	if id, _, _ := l.class.Verdicts(); id == hapax.Duplicate {
		r.millis = append(r.millis, at.clock-l.first.clock)
		r.messages = append(r.messages, at.number-l.first.number-1)
		r.bytes = append(r.bytes, at.offset-l.first.offset)
	}
}

// finish is the truth about the stream of that seed, whose next line would
// start at byte end.
func (r *recorder) finish(seed uint64, end int64) *Truth {
	t := &Truth{
		Seed: seed, Lines: int64(len(r.labels)), Bytes: end, Labels: string(r.labels),
		From: time.UnixMilli(r.from.clock).UTC(), To: time.UnixMilli(r.to.clock).UTC(),
		Classes: map[string]int64{}, Letters: map[string]string{},
		Ages: Ages{Milliseconds: quantiles(r.millis), Messages: quantiles(r.messages), Bytes: quantiles(r.bytes)},
	}
	for _, k := range classes {
		n := r.perLetter[k.class]
		t.Classes[k.name] = n
		t.Letters[string(rune(k.class))] = k.name
		t.ID.add(k.id, n)
		t.Content.add(k.content, n)
		t.Line.add(k.line, n)
	}
	for _, e := range r.examples {
		t.Examples = append(t.Examples, Example{
			Class: e.class.String(), Line: e.number + 1, First: e.first.number + 1,
			Delivery: string(appendUUID(nil, seed, e.delivery)),
		})
	}
	return t
}

func (c *Counts) add(v hapax.Verdict, n int64) {
	switch v {
	case hapax.Fresh:
		c.Unique += n
	case hapax.Duplicate:
		c.Duplicates += n
	case hapax.Conflict:
		c.Conflicts += n
	}
}

func quantiles(ages []int64) (q Quantiles) {
	if len(ages) == 0 {
		return q
	}
	slices.Sort(ages)
	at := func(perMille int) int64 { return ages[(len(ages)*perMille+999)/1000-1] }
	return Quantiles{P50: at(500), P90: at(900), P99: at(990), P999: at(999), Max: at(1000)}
}
