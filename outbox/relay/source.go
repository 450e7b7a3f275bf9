package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hapaxmq/hapax/outbox"
)

// Source is an outbox as relays see it. All methods may be called from several goroutines
// at once. Times are measured by the source's clock.
type Source interface {
	// Shards tells of all shards.
	Shards(ctx context.Context) ([]Shard, error)
	// Keep prolongs the leases of all shards that a relay holds.
	Keep(ctx context.Context, relay int64, lease time.Duration) error
	// Take gives a relay a shard that nobody else holds, and prolongs its lease if it has it.
	Take(ctx context.Context, h Hold) (bool, error)
	// Ask says that a relay wants a shard that another holds.
	Ask(ctx context.Context, relay int64, shard int) error
	// Give gives a shard to the relay that asks for it, or to nobody.
	Give(ctx context.Context, h Hold) error
	// Waiting tells in which of its shards a relay might find records for a new batch.
	Waiting(ctx context.Context, relay int64) ([]int, error)

	// Resume deletes the batches up to one that was published, and returns the next one
	// that is sealed, or none. It and those below return [ErrLost] if the shard is not
	// as the relay has left it.
	Resume(ctx context.Context, h Hold, published int64) (Batch, error)
	// Next deletes a batch that was published, which may be empty, and seals another of so
	// many records at most: one without records, with the number of the last, if there are none. No
	// other must be sealed already.
	Next(ctx context.Context, h Hold, published Batch, most Size) (Batch, error)
	// Sealed returns nil once a batch that Next has returned stays sealed whatever happens to the source:
	// Next may return it before, and what it has deleted may come back. It is called while the batch is
	// published. What Resume returns stays sealed.
	Sealed(ctx context.Context, h Hold, b Batch) error
	// SetAside gives records of a batch faults, by position, and takes them and what
	// waits for them out of it. It must not have been published.
	SetAside(ctx context.Context, h Hold, b Batch, faults map[int64]string) error
}

// Waker is a [Source] that tells when there may be records.
type Waker interface {
	// Listen calls wake when records may have been committed, until ctx ends or it can't go on.
	Listen(ctx context.Context, wake func()) error
}

// ErrLost says that the source does not have the shard as the relay has left it: another relay holds it, or a
// crash of the source has taken what was done last. [Source.Take] tells which.
var ErrLost = errors.New("relay: the shard is not as it was left")

// Shard is a part of an outbox that one relay works on at a time.
type Shard struct {
	Number   int
	Name     string // drawn once: its own among the shards of all outboxes
	Outbox   string // the same for all shards of an outbox, and its own among all outboxes
	Holder   int64  // a relay; 0: none
	Ended    bool   // the holder's lease has
	Claimant int64  // a relay that asks for it; 0: none
}

// Hold is what a relay holds, or wants to.
type Hold struct {
	Relay int64 // not zero
	Shard int
	Lease time.Duration
}

// Size bounds a batch. A record that is larger is one by itself.
type Size struct{ Records, Bytes int }

// Batch is what is published in one step.
type Batch struct {
	Number  int64 // from 1; rises
	Records []Record
}

// Record is one of a batch.
type Record struct {
	outbox.Record

	Position int64         // rises within a batch, and within an order key
	Named    bool          // the caller gave its id
	Age      time.Duration // since it was put, when its batch was sealed; 0: not known any more
}

// Destination is where records go. Its method may be called from several goroutines
// at once.
type Destination interface {
	// Open returns a line for a shard, and the number of the last batch that was published; 0
	// if there is none, or if the destination does not know. Lines of the shard that were
	// opened before publish nothing any more, where the destination can see to that.
	Open(ctx context.Context, s Shard) (Line, int64, error)
}

// Line publishes the batches of a shard. It is for one goroutine.
type Line interface {
	// Publish publishes a batch, in the order of its records: all of it, if the error is nil.
	// A [*RefusedError] says why the destination won't take it. After any error the line is
	// to be closed, and another one tells what became of the batch. If alone, records
	// are to be sent one by one, so that it is certain which of them was refused.
	//
	// Before it does what the next line could not take back, it calls sealed, which waits
	// until the source has the batch for good; if that has an error, Publish ends with it.
	Publish(ctx context.Context, b Batch, alone bool, sealed func() error) error
	Close()
}

// RefusedError says that a destination refuses records, however often they come.
type RefusedError struct {
	Faults  map[int64]string // why, by position
	Certain bool             // it is they, and not others that were sent with them
}

func (e *RefusedError) Error() string {
	for _, fault := range e.Faults {
		if len(e.Faults) == 1 {
			return "record refused: " + fault
		}
		return fmt.Sprintf("%d records refused, one of them: %s", len(e.Faults), fault)
	}
	return "records refused"
}

// Pending is what an outbox holds.
type Pending struct {
	Records int64         // that are not deleted yet
	Faulty  int64         // those of them that were set aside
	Oldest  time.Duration // how long the oldest has been there
}

// Faulty is a record that was set aside.
type Faulty struct {
	Shard    int
	Position int64 // names it
	ID       string
	Topic    string
	OrderKey string
	Fault    string
}
