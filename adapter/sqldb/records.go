package sqldb

import (
	"context"
	"database/sql"

	"github.com/hapaxmq/hapax/internal/marking"
	"github.com/hapaxmq/hapax/internal/relaying"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// Records are those of the outbox as relays see them: see package relay.
func (o *Outbox) Records() relay.Source { return o.records }

// Wake tells relays of this outbox, wherever they run, to look for records now: call it after
// the commit of what was put. It returns at once; many calls are one statement, every 5 ms at
// most. Without it, relays find records at their next look ([relay.Options]). It is no part of
// the transaction because that would make all commits of the database wait for each other.
// Relays of package pgxdb listen to it; elsewhere than in PostgreSQL it does nothing.
func (o *Outbox) Wake() {
	if o.bell != nil {
		o.bell.Ring()
	}
}

// Pending tells what the outbox holds. It reads the whole table.
func (o *Outbox) Pending(ctx context.Context) (relay.Pending, error) { return o.records.Pending(ctx) }

// Faulty lists at most so many records that relays have set aside, with positions above
// one, by rising positions.
func (o *Outbox) Faulty(ctx context.Context, after int64, most int) ([]relay.Faulty, error) {
	return o.records.Faulty(ctx, after, most)
}

// Retry has records that were set aside published after all, each before those that wait
// for it, and tells how many: those of other positions are left alone.
func (o *Outbox) Retry(ctx context.Context, positions ...int64) (int, error) {
	return o.records.Retry(ctx, positions)
}

// Discard deletes records that were set aside, so that what waits for them is published,
// and tells how many.
func (o *Outbox) Discard(ctx context.Context, positions ...int64) (int, error) {
	return o.records.Discard(ctx, positions)
}

// records are those of a table. Their transactions need no more isolation than that what
// they see is committed, and with more they would lock what others put.
func records(db *sql.DB, d Dialect, table string) *relaying.Records {
	isolation := sql.LevelReadCommitted
	if d == SQLite {
		isolation = sql.LevelDefault
	}
	t := &marking.Transactor[*sql.Tx]{
		Begin: beginner(db, d, isolation), Fault: fault(d), Runs: relaying.Runs, Settle: relaying.Settle,
	}
	return relaying.New(d, table, anywhere{db}, func(ctx context.Context, f func(context.Context, marking.Tx) error) error {
		return t.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error { return f(ctx, transaction{tx}) })
	})
}
