// Package putting puts records into the outbox of an SQL database, in the user's
// transaction, whatever driver carries the statements.
//
// An id that the caller gave is a mark in a table of its own, as those of package
// marking: it is there once the transaction commits, and whoever puts it meanwhile
// waits for that.
package putting

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/marking"
	"github.com/hapaxmq/hapax/internal/sqltext"
	"github.com/hapaxmq/hapax/outbox"
)

// MaxShards are how many shards an outbox may have.
const MaxShards = 16

const (
	chunk    = 200     // records of one statement, at most
	maxChunk = 1 << 20 // bytes of their payloads, unless one alone has more

	// wait is how long an id is waited for that another transaction has put. It is to
	// end what hangs: anybody's insert of a unique key waits as well.
	wait = time.Minute
)

// Outbox is a table of records, and one of the ids that callers gave.
type Outbox struct {
	dialect sqltext.Dialect
	shards  int
	table   marking.Table
	ids     marking.IDs
	fault   func(error) sqltext.Fault
}

// New returns an outbox of so many shards, or of one if it is not said. Session runs a function on one
// connection.
func New(d sqltext.Dialect, table string, shards int, fault func(error) sqltext.Fault,
	session func(context.Context, func(context.Context, marking.Tx) error) error,
) (*Outbox, error) {
	if !d.Valid() {
		return nil, fmt.Errorf("outbox: dialect %v: want one of those in this package", d)
	}
	if table == "" {
		table = sqltext.Outbox.Table()
	}
	if err := sqltext.CheckTable(table); err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	if shards == 0 {
		shards = 1
	}
	if shards < 1 || shards > MaxShards {
		return nil, fmt.Errorf("outbox: %d shards: want 1 to %d", shards, MaxShards)
	}
	return &Outbox{
		dialect: d, shards: shards, fault: fault,
		table: marking.Table{Dialect: d, Kind: sqltext.Outbox, Name: table, Fault: fault, Session: session},
		ids:   marking.IDs{Dialect: d, Table: sqltext.IDs(table), Fault: fault},
	}, nil
}

// Migrate makes the tables unless they are there.
func (o *Outbox) Migrate(ctx context.Context) error { return o.table.Migrate(ctx) }

// Sweep forgets ids that were published longer ago than the retention.
func (o *Outbox) Sweep(ctx context.Context, retention time.Duration) (int64, error) {
	swept, err := o.table.Sweep(ctx, retention)
	return swept.Rows, err
}

// Put puts records into the transaction.
func (o *Outbox) Put(ctx context.Context, tx marking.Tx, records []outbox.Record) error {
	rows := make([]sqltext.Outgoing, len(records))
	var marks []hapax.Mark
	var marked []int // the records of the marks
	for i := range records {
		r := &records[i]
		if err := r.Validate(); err != nil {
			return fmt.Errorf("put: %w", err)
		}
		rows[i] = o.row(r)
		if r.ID != "" {
			marks, marked = append(marks, mark(r)), append(marked, i)
		}
	}
	if len(marks) > 0 {
		if err := o.ids.Mark(ctx, tx, marks, wait); err != nil {
			if fault := o.fault(err); fault == sqltext.Locked || fault == sqltext.Busy {
				err = &hapax.InFlightError{}
			}
			return fmt.Errorf("put: %w", err)
		}
	}
	var conflicts error
	put := make([]bool, len(records)) // before
	for n, i := range marked {
		put[i] = marks[n].Verdict != hapax.Fresh
		if marks[n].Verdict == hapax.Conflict {
			conflicts = errors.Join(conflicts, &outbox.ConflictError{Topic: records[i].Topic, ID: records[i].ID})
		}
	}
	fresh := rows[:0]
	for i, r := range rows {
		if !put[i] {
			fresh = append(fresh, r)
		}
	}
	if err := o.insert(ctx, tx, fresh); err != nil {
		return fmt.Errorf("put: %w", err)
	}
	if conflicts != nil {
		return fmt.Errorf("put: %w", conflicts)
	}
	return nil
}

// insert inserts rows in their order.
func (o *Outbox) insert(ctx context.Context, tx marking.Tx, rows []sqltext.Outgoing) error {
	for len(rows) > 0 {
		n, size := 1, len(rows[0].Payload)
		for n < len(rows) && n < chunk && size+len(rows[n].Payload) <= maxChunk {
			size += len(rows[n].Payload)
			n++
		}
		statement, args := sqltext.Put(o.dialect, o.table.Name, rows[:n])
		if _, err := tx.Exec(ctx, statement, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// row is a record as the table has it.
func (o *Outbox) row(r *outbox.Record) sqltext.Outgoing {
	row := sqltext.Outgoing{
		ID: r.ID, Topic: r.Topic, OrderKey: []byte(r.OrderKey), Payload: r.Payload,
		Headers: outbox.AppendHeaders([]byte{}, r.Headers),
	}
	if r.ID == "" {
		row.ID = outbox.NewID()
	} else {
		key := identity.SharedKey(hapax.Scope(r.Topic), hapax.Identity(r.ID))
		row.Named = key[:]
	}
	by := r.OrderKey
	if by == "" { // which asks for no order
		by = row.ID
	}
	row.Shard = int(sha256.Sum256([]byte(by))[0]) % o.shards
	return row
}

// mark is the id that a caller gave.
func mark(r *outbox.Record) hapax.Mark {
	digest, _ := identity.NewHasher([16]byte{}).Scoped(hapax.Scope(r.Topic)).Digest(nil, r.Payload)
	return hapax.Mark{Scope: hapax.Scope(r.Topic), Identity: hapax.Identity(r.ID), Digest: digest}
}
