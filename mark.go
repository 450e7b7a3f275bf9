package hapax

import (
	"context"
	"time"
)

// Mark says of a message that it was handled. It stands in the user's own database
// and is made inside of the transaction that holds the handler's effects, so that the
// two are there together or not at all.
type Mark struct {
	Scope    Scope
	Identity Identity
	Digest   Digest    // of the payload; zero to compare none
	Time     time.Time // of the event, the same in every copy: it may choose the table's partition; zero: none
	Position Position  // where the message stood, for marks by position
	Sequence Sequence  // the place in its producer's numbering, for marks by number

	// What [Marks.Mark] says of it: Fresh, and then it is marked; Duplicate; Conflict;
	// Stale, of a number that is below what can be told; or Late, of a time from before
	// what is remembered.
	Verdict Verdict
	Receipt Receipt // of the first run, if Duplicate and kept
}

// Marks keeps marks in a database whose transactions are of type T. All methods may
// be called from several goroutines at once, but not with one transaction.
type Marks[T any] interface {
	// Transact runs f in a transaction of its own, and commits it if f returns nil.
	// Where the database asks for it (serialisation, deadlock) it runs f again in a
	// new transaction. It returns f's error as it is; [ErrUnknown] means that the
	// transaction may be committed: Mark in another transaction tells, since it
	// waits for the first one to end.
	Transact(ctx context.Context, f func(ctx context.Context, tx T) error) error
	// Mark marks messages and fills in their verdicts, in one round trip if all are
	// fresh. It comes first in a transaction. No verdict aborts it: it may go on after
	// any. Copies that are marked meanwhile by others are waited for, and if that takes
	// too long nothing is marked and the error is an [*InFlightError]; then a
	// transaction that Transact began may be aborted and can only be rolled back, but
	// one of the caller's own that is joined never is. The second of two copies among
	// marks is a Duplicate. A message that lacks what marks of this kind need is an
	// error: [ErrMalformed] if it has no time where marks are in partitions by time,
	// [ErrMissing] if it has no position or number where they are by these.
	Mark(ctx context.Context, tx T, marks []Mark) error
	// Keep keeps the receipt of a mark that was Fresh in this transaction, for the
	// copies to come. [ErrReceiptSize] changes nothing.
	Keep(ctx context.Context, tx T, m *Mark) error
}
