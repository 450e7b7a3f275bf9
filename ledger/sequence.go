package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/arena"
	"github.com/hapaxmq/hapax/window"
)

// SequenceOptions configures what is remembered of producers that number their
// messages. The zero value works: it is strict.
type SequenceOptions struct {
	// Window is how many numbers, the highest one included, are told apart one
	// by one, so that they may come in any order: a power of two from 64 to
	// 4096. 0 is strict: a number must be the one after the highest. It is
	// stored; opening with another is an error.
	Window int
	// MaxProducers bounds the producers remembered at once (default 1 << 20).
	// Each takes 32 bytes of memory, its window (at least 64 bits) and up to
	// ten bytes of index, which count for MaxMemory; and on disk at most four
	// times that, which counts for MaxDisk. When one of the three is reached new
	// producers are refused with hapax.ErrFull.
	MaxProducers int
	// Idle is after how long without a message a producer is forgotten, at most
	// 1/128 of that and two seconds late: from 1 s to 10 years. 0 is never.
	// After it any number of the producer is Fresh again.
	Idle time.Duration
}

func (o SequenceOptions) rules() window.SequenceRules {
	return window.SequenceRules{Disorder: o.Window, Producers: o.MaxProducers, Idle: o.Idle}
}

// SequenceEntry is one numbered message in a [SequenceBatch].
type SequenceEntry struct {
	Producer hapax.Fingerprint // of its identity, by [Ledger.Hasher]; kept by the caller, it is hashed once
	Epoch    uint32            // a producer's restart; a higher one fences the lower ones
	Number   uint64            // rises within an epoch and does not wrap
	Offset   int64             // position in SequenceBatch.Source, not negative
	Verdict  hapax.Verdict     // set by AdmitSequences; 0: refused
}

// SequenceBatch is asked about in one step.
type SequenceBatch struct {
	Source  string // whose positions the entries' offsets are; "": they have none
	Entries []SequenceEntry
}

// Producer is what is remembered of one.
type Producer struct {
	Epoch   uint32
	Highest uint64
	Last    time.Time // when its last number came, to the second and Idle/128
}

// RefusedError says that entries of a batch were refused: they have no verdict,
// and nothing changed for them. The verdicts of all others count, and are as
// durable as without it.
type RefusedError struct {
	Entry   int   // index of the first
	Refused int   // how many
	Err     error // why the first was: a [*GapError], or a [hapax.ErrFull]
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%d entries refused, the first at index %d: %v", e.Refused, e.Entry, e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// GapError says that a producer in strict order left numbers out.
type GapError struct {
	Producer  hapax.Fingerprint
	Epoch     uint32
	Want, Got uint64
}

func (e *GapError) Error() string {
	return fmt.Sprintf("producer %v in epoch %d sent number %d, want %d: send what is between, or begin a higher epoch", e.Producer, e.Epoch, e.Got, e.Want)
}

// AdmitSequences gives a verdict on each entry, in order, and remembers the
// fresh ones, at a cost in memory and disk that grows with producers and not
// with messages.
//
// The first number of a producer may be any, that of a higher epoch too. A
// number of a lower epoch is Stale: its producer is fenced. With a Window of n,
// each of the n numbers up to the highest is Fresh once, and one below them is
// Stale: it may be a copy, or a first copy that came very late, and the caller
// decides. In strict order the next number is Fresh, the ones before it are
// Duplicates back to the producer's first, and a number further ahead is
// refused. Entries with a position may be Redelivered, as in [Ledger.Admit].
//
// On return all verdicts are as durable as [Options.Durability] says. A
// [*RefusedError] is about single entries; after any other error no verdict
// counts. The entries stay the caller's. A batch is one frame of the log, with
// what it made of each of its producers.
func (l *Ledger) AdmitSequences(ctx context.Context, b *SequenceBatch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.o.Follows != nil {
		return fmt.Errorf("admit: %w", errFollows)
	}
	end, refused, err := l.admitSequences(b)
	if err != nil {
		return err
	}
	if l.journal != nil {
		if err := l.settled(l.journal.wait(end)); err != nil {
			return err
		}
	}
	if refused != nil {
		return refused
	}
	return nil
}

// Producer returns what is remembered of a producer, if anything is.
func (l *Ledger) Producer(f hapax.Fingerprint) (Producer, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil || l.sequences == nil {
		return Producer{}, false, err
	}
	s := l.sequences.rows
	s.Advance(l.now())
	p, ok := s.Get(f)
	if !ok {
		return Producer{}, false, nil
	}
	return Producer{p.Epoch, p.Highest, time.Unix(s.LastAt(p), 0)}, true, nil
}

// sequences is what a ledger remembers of producers. It is made when the first
// one is met.
type sequences struct {
	rows      *window.Sequences
	memory    *arena.Arena
	held      int64 // bytes of MaxMemory
	window    int
	lap       lap
	positions admitFrame // of the batch; it has nothing else
	body      []byte
}

// maxSequencePiece bounds the entries of one frame.
const maxSequencePiece = 1 << 14

// admitSequences gives the verdicts and appends their frame. It returns the
// journal's end: what the verdicts depend on.
func (l *Ledger) admitSequences(b *SequenceBatch) (end int64, refused *RefusedError, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return 0, nil, err
	}
	if l.o.ReadOnly {
		return 0, nil, errReadOnly
	}
	now := l.now()
	if err := l.turnIfDue(now); err != nil {
		return 0, nil, err
	}
	s, err := l.useSequences()
	if err != nil {
		return 0, nil, err
	}
	s.rows.Advance(now)
	s.rows.Sweep(2 * len(b.Entries))
	if err := (diskRoom{l}).forFrames(2*int64(len(b.Entries))*s.producerBytes(), l.o.Evict); err != nil {
		return 0, nil, err
	}
	src, err := l.sources.forBatch(b.Source, len(b.Entries))
	if err == nil && src != nil {
		err = b.check()
	}
	if err != nil {
		return 0, nil, err
	}
	a := sequenceAdmission{s: s, src: src}
	for rest := b.Entries; len(rest) > 0; rest = rest[min(len(rest), maxSequencePiece):] {
		if err := a.admitPiece(l.journal, b.Source, rest[:min(len(rest), maxSequencePiece)]); err != nil {
			return 0, nil, l.fail(err)
		}
	}
	if l.journal != nil {
		end = l.journal.End()
	}
	a.count(&l.stats)
	return end, a.refused, nil
}

// sequenceAdmission is one batch as it is admitted.
type sequenceAdmission struct {
	s       *sequences
	src     *source // nil: the entries have no positions
	keys    [ahead]window.ProducerKey
	at      int // entries before the present piece
	refused *RefusedError

	fresh, duplicates, stale, redelivered int64
}

// admitPiece admits the entries of one frame and appends it, if there is a log.
func (a *sequenceAdmission) admitPiece(j *journal, source string, entries []SequenceEntry) error {
	a.s.positions.begin(0, source)
	if j == nil {
		a.admit(entries)
		return nil
	}
	if err := j.roll(); err != nil {
		return err
	}
	a.admit(entries)
	if payload := a.s.payload(); payload != nil {
		return j.remember(payload)
	}
	return nil
}

func (a *sequenceAdmission) admit(entries []SequenceEntry) {
	for len(entries) > 0 {
		n := min(len(entries), ahead)
		for i := range n {
			a.keys[i] = a.s.rows.Key(entries[i].Producer)
		}
		a.s.rows.Seek(a.keys[:n])
		for i := range n {
			a.admitEntry(&entries[i], a.keys[i])
			a.at++
		}
		entries = entries[n:]
	}
}

func (a *sequenceAdmission) admitEntry(e *SequenceEntry, k window.ProducerKey) {
	if a.src != nil {
		if seen, fresh := a.src.seen(e.Offset); seen && fresh {
			e.Verdict = hapax.Redelivered
			a.redelivered++
			return
		} else if seen {
			e.Verdict = hapax.Duplicate
			a.duplicates++
			return
		}
	}
	var err error
	if e.Verdict, err = a.s.rows.Admit(k, e.Epoch, e.Number); err != nil {
		a.refuse(e, err)
		return
	}
	switch e.Verdict {
	case hapax.Fresh:
		a.fresh++
	case hapax.Duplicate:
		a.duplicates++
	default:
		a.stale++
		return
	}
	if a.src != nil {
		a.src.noteVerdict(e.Offset, imprint{}, e.Verdict == hapax.Fresh)
		a.s.positions.position(e.Offset, e.Verdict == hapax.Fresh)
	}
}

// refuse notes that an entry has no verdict, and why the first has none.
func (a *sequenceAdmission) refuse(e *SequenceEntry, err error) {
	if a.refused != nil {
		a.refused.Refused++
		return
	}
	switch {
	case errors.Is(err, window.ErrGap):
		p, _ := a.s.rows.Get(e.Producer)
		err = &GapError{Producer: e.Producer, Epoch: e.Epoch, Want: p.Highest + 1, Got: e.Number}
	case errors.Is(err, window.ErrProducers):
		err = fmt.Errorf("%w: %d producers are remembered; raise MaxProducers, or set Idle", hapax.ErrFull, a.s.rows.Len())
	case !errors.Is(err, hapax.ErrFull):
		err = fmt.Errorf("%w: no room for producer %v: %w", hapax.ErrFull, e.Producer, err)
	}
	a.refused = &RefusedError{Entry: a.at, Refused: 1, Err: err}
}

func (a *sequenceAdmission) count(s *stats) {
	s.fresh.Add(a.fresh)
	s.duplicates.Add(a.duplicates)
	s.stale.Add(a.stale)
	s.redelivered.Add(a.redelivered)
}
