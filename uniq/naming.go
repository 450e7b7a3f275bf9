package uniq

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/lines"
	"github.com/hapaxmq/hapax/ledger"
)

// Naming says how a line becomes an entry for a ledger.
type Naming struct {
	Identity  *identity.Extractor
	Scope     *identity.Extractor // of each line; nil: all are in Within
	Within    hapax.Scope
	EventTime *EventTime // nil: lines have none
	Missing   identity.MissingPolicy
	Digests   bool                              // of each line, to tell conflicts
	Hasher    func(hapax.Scope) identity.Hasher // the ledger's
	Numbered  bool                              // Identity is a sequence, and asked about as one
	KeepIDs   bool                              // in Named.ID, for people
}

// Named are the lines of a chunk as a ledger is asked about them.
type Named struct {
	Entries []ledger.Entry         // of the lines that have an identity, in order
	Numbers []ledger.SequenceEntry // beside Entries, if they are Numbered
	Without []int32                // the lines that have none, where these pass
	Content int                    // lines without an identity that are named by their content

	refused error // why the first number that has no verdict was refused

	ids                      []byte // with KeepIDs, of Entries
	idEnds                   []int
	id, scope, event, digest []byte // scratch
}

// ID is the identity of an entry, kept until the chunk is released.
func (named *Named) ID(entry int) []byte {
	start := 0
	if entry > 0 {
		start = named.idEnds[entry-1]
	}
	return named.ids[start:named.idEnds[entry]]
}

// maxKeptID is how much of an identity is kept for people.
const maxKeptID = 256

// Chunk is a chunk of named lines.
type Chunk = lines.Chunk[*Named]

// Namer names lines. It is immutable and safe for concurrent use.
type Namer struct {
	Naming
	whole   bool // the line is its own identity
	content *identity.Extractor
	within  identity.Hasher
	digests identity.Hasher
}

// NewNamer prepares n.
func NewNamer(n Naming) (*Namer, error) {
	content, err := identity.Parse("content")
	if err != nil {
		return nil, err
	}
	return &Namer{
		Naming: n, content: content,
		whole:  n.Identity.String() == "line" && n.Scope == nil && n.EventTime == nil && !n.Digests && !n.KeepIDs,
		within: n.Hasher(n.Within), digests: n.Hasher(""),
	}, nil
}

// Name names the lines of a chunk. On an error, which names file and line, the
// chunk ends before that line.
func (n *Namer) Name(c *Chunk) error {
	if c.Notes == nil {
		c.Notes = new(Named)
	}
	named := c.Notes
	named.reset()
	offset := c.Line
	if source, ok := c.Input.Origin.(*Source); ok {
		offset += source.shift
	}
	if n.whole {
		n.nameWhole(c, offset)
		return nil
	}
	for i := range c.Ends {
		e := ledger.Entry{Offset: offset + int64(i)}
		has, err := n.name(named, &e, c.Value(i))
		if errors.Is(err, hapax.ErrMalformed) && len(bytes.TrimSpace(c.Value(i))) == 0 {
			has, err = false, n.blank()
		}
		if err != nil {
			c.Text, c.Ends, c.Last = c.Text[:c.Start(i)], c.Ends[:i], false
			return fmt.Errorf("%s: %w", c.Input.At(c.Line+int64(i)+1), err)
		}
		if !has {
			named.Without = append(named.Without, int32(i))
			continue
		}
		named.Entries = append(named.Entries, e)
		if n.KeepIDs {
			named.ids = append(named.ids, named.id[:min(len(named.id), maxKeptID)]...)
			named.idEnds = append(named.idEnds, len(named.ids))
		}
	}
	return nil
}

// blank is what becomes of a blank line where a line must be JSON: it has no
// identity, and no content to name it by.
func (n *Namer) blank() error {
	if n.Missing == identity.ErrorOnMissing {
		return fmt.Errorf("%w: it is blank", hapax.ErrMissing)
	}
	return nil
}

// Time is the event time of one line in Unix nanoseconds; [NoTime] if none is
// asked for, and with an error.
func (n *Namer) Time(value []byte) (int64, error) {
	if n.EventTime == nil {
		return NoTime, nil
	}
	at, _, err := n.EventTime.of(nil, &hapax.Message{Value: value})
	if err != nil {
		return NoTime, err
	}
	return at, nil
}

// nameWhole is Name where the line is its own identity.
func (n *Namer) nameWhole(c *Chunk, offset int64) {
	entries := slices.Grow(c.Notes.Entries, len(c.Ends))[:len(c.Ends)]
	for i := range entries {
		value := c.Value(i)
		entries[i] = ledger.Entry{Offset: offset + int64(i), Size: int64(len(value))}
		n.within.Sum(&entries[i].Fingerprint, value)
	}
	c.Notes.Entries = entries
}

// name fills in e for one line, unless it has no identity and may pass without.
func (n *Namer) name(named *Named, e *ledger.Entry, value []byte) (has bool, err error) {
	m := hapax.Message{Value: value}
	hasher := n.within
	e.Size = int64(len(value))
	if n.EventTime != nil {
		if e.Time, named.event, err = n.EventTime.of(named.event[:0], &m); err != nil {
			return false, err
		}
	}
	if n.Scope != nil {
		named.scope, err = n.Scope.Append(named.scope[:0], &m)
		if err == nil {
			hasher = n.Hasher(hapax.Scope(named.scope))
		}
	}
	switch {
	case err != nil:
	case n.Numbered:
		var q hapax.Sequence
		if q, named.id, err = n.Identity.Sequence(named.id[:0], &m); err == nil {
			named.Numbers = append(named.Numbers, ledger.SequenceEntry{
				Producer: hasher.Fingerprint(q.Producer), Epoch: q.Epoch, Number: q.Number, Offset: e.Offset,
			})
			return true, nil
		}
	default:
		named.id, err = n.Identity.Append(named.id[:0], &m)
	}
	if err != nil {
		if !errors.Is(err, hapax.ErrMissing) || n.Missing == identity.ErrorOnMissing {
			return false, err
		}
		if n.Missing == identity.PassOnMissing {
			return false, nil
		}
		if named.id, err = n.content.Append(named.id[:0], &m); err != nil {
			return false, err
		}
		named.Content++
		e.Fingerprint = hasher.Fingerprint(named.id)
		return true, nil
	}
	e.Fingerprint = hasher.Fingerprint(named.id)
	if n.Digests {
		e.Digest, named.digest = n.digests.Digest(named.digest, value)
	}
	return true, nil
}

// reset makes room for a new chunk, and lets go of what a very long line took.
func (named *Named) reset() {
	named.Entries, named.Without, named.Content = named.Entries[:0], named.Without[:0], 0
	named.Numbers, named.refused = named.Numbers[:0], nil
	named.ids, named.idEnds = named.ids[:0], named.idEnds[:0]
	for _, scratch := range []*[]byte{&named.id, &named.scope, &named.event, &named.digest} {
		if cap(*scratch) > 1<<20 {
			*scratch = nil
		}
	}
}
