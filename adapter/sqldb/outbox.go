package sqldb

import (
	"context"
	"database/sql"
	"time"

	"github.com/hapaxmq/hapax/internal/putting"
	"github.com/hapaxmq/hapax/internal/relaying"
	"github.com/hapaxmq/hapax/internal/sqltext"
	"github.com/hapaxmq/hapax/outbox"
)

// OutboxOptions are those of an [Outbox]. The zero value is good.
type OutboxOptions struct {
	// Table is the name of the table, behind a schema and a dot or not (default:
	// hapax_outbox). That of the ids which callers gave has its name and "_ids" behind it,
	// that of the relays "_relays".
	Table string
	// Shards is how many relays can publish at once; more stand by (default: 1; 16 at most). Relays need
	// not be told.
	//
	// All programs that put must say the same, for the records of an order key are in one shard, and their
	// order is kept there. It is changed while the outbox is empty. With more shards there are more
	// transactions, and while there is little to publish each record takes longer.
	Shards int
}

// Outbox puts records into the transactions of the database, to be published after their
// commit. It starts nothing, but for a moment after [Outbox.Wake], and holds nothing but the *sql.DB, which stays the caller's.
// All methods may be called from several goroutines at once, but not with one transaction.
type Outbox struct {
	table   *putting.Outbox
	records *relaying.Records
	bell    *relaying.Bell // nil where nobody can listen
}

// NewOutbox returns an outbox. It asks nothing of the database: the tables must be
// there, or [Outbox.Migrate] makes them.
func NewOutbox(db *sql.DB, d Dialect, o OutboxOptions) (*Outbox, error) {
	table, err := putting.New(d, o.Table, o.Shards, fault(d), session(db))
	if err != nil {
		return nil, err
	}
	out := &Outbox{table: table, records: records(db, d, o.Table)}
	if d == Postgres {
		notify := sqltext.Notify(out.records.Table())
		out.bell = relaying.NewBell(func(ctx context.Context) error {
			_, err := db.ExecContext(ctx, notify.Text, notify.Args...)
			return err
		})
	}
	return out, nil
}

// Put puts records into a transaction: they are published if it commits, and not if it
// does not. Records without ids are one round trip, up to 200 of them and 1 MiB; ids of
// the caller's are one more, and wait for other transactions that have put the same, for
// a minute at most ([*hapax.InFlightError]).
//
// An id that was put before is left out, until its retention is over. An
// [*outbox.ConflictError] says that its payload was another: then the transaction can go
// on, and the other records are put. After any other error it must be rolled back.
//
// Records of one order key are published in the order of their commits, if Put follows a
// lock that their transactions share, such as of the row that they change.
func (o *Outbox) Put(ctx context.Context, tx *sql.Tx, records ...outbox.Record) error {
	return o.table.Put(ctx, transaction{tx}, records)
}

// Migrate makes the tables, unless they are there. Several may do so at once. If they are
// there, the right to read and write their rows is enough.
func (o *Outbox) Migrate(ctx context.Context) error { return o.table.Migrate(ctx) }

// Sweep forgets the caller's ids of records that were published longer ago than the
// retention, in batches of up to 5,000 with rests between them, and returns how many: they
// can be put again. What is not published is never forgotten. Several may sweep at once.
func (o *Outbox) Sweep(ctx context.Context, retention time.Duration) (int64, error) {
	return o.table.Sweep(ctx, retention)
}
