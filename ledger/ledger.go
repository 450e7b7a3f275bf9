// Package ledger is the embedded, durable ledger.
package ledger

import (
	"context"
	"iter"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
)

// Entry is one message in a [Batch].
type Entry struct {
	Fingerprint hapax.Fingerprint
	Digest      hapax.Digest  // zero: compare none
	Offset      int64         // position in Batch.Source
	Time        int64         // event time in Unix nanoseconds, for event-time windows
	Size        int64         // bytes of the message, for byte windows
	Verdict     hapax.Verdict // set by Admit
}

// Batch is asked about in one step.
type Batch struct {
	Source  string // "" : the entries have no positions
	Entries []Entry
}

// Checkpoint is how far a source's effects are known to have happened.
type Checkpoint struct {
	Source string
	Offset int64  // this position and all before it are done
	Note   []byte // the caller's own bytes, given back on open; at most 64 KiB
}

// Ledger is an open ledger.
type Ledger struct{}

func Open(dir string, o Options) (*Ledger, error) { panic("x") }
func (l *Ledger) Hasher(s hapax.Scope) identity.Hasher { panic("x") }
func (l *Ledger) Admit(ctx context.Context, b *Batch) error { panic("x") }
func (l *Ledger) AdmitOne(ctx context.Context, e *Entry) error { panic("x") }
func (l *Ledger) Confirm(ctx context.Context, c Checkpoint) error { panic("x") }
func (l *Ledger) Checkpoint(source string) (Checkpoint, bool) { panic("x") }
func (l *Ledger) Checkpoints() []Checkpoint { panic("x") }
func (l *Ledger) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) { panic("x") }
func (l *Ledger) Extend(ctx context.Context, c hapax.Claim, d time.Duration) (hapax.Claim, error) { panic("x") }
func (l *Ledger) Commit(ctx context.Context, c hapax.Claim, r hapax.Receipt) error { panic("x") }
func (l *Ledger) Release(ctx context.Context, c hapax.Claim) error { panic("x") }
func (l *Ledger) Lookup(ctx context.Context, fp hapax.Fingerprint) (Sighting, bool, error) { panic("x") }
func (l *Ledger) Forget(ctx context.Context, fp hapax.Fingerprint) (bool, error) { panic("x") }
func (l *Ledger) All() iter.Seq2[Sighting, error] { panic("x") }
func (l *Ledger) Stats() Stats { panic("x") }
func (l *Ledger) Sync(ctx context.Context) error { panic("x") }
func (l *Ledger) Close() error { panic("x") }

// Sighting is what is known of an identity.
type Sighting struct {
	Fingerprint hapax.Fingerprint
	Verdict     hapax.Verdict // Duplicate (remembered) or InFlight (claimed)
	First       time.Time     // first seen, to the generation's width, exact where the log still holds it
	Expires     time.Time     // by time; zero if only count or bytes bound it
	Position    hapax.Position // of the first copy, where known
	Digest      hapax.Digest
	Copies      int64 // duplicates seen since, with Options.Details
	Token       uint64
}

// Stats are counters since open and gauges of now.
type Stats struct {
	Fresh, Duplicates, Redelivered, InFlight, Conflicts, Late, Stale int64
	Live         int64 // identities remembered
	LiveCold     int64 // of these, on disk
	EvictedLive  int64 // let go before their window ended
	Claims       int64
	Memory, Disk int64 // bytes
	Ages         [40]int64 // duplicates by age: bucket i counts ages in [2^i, 2^(i+1)) milliseconds
}
