package pgxdb

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hapaxmq/hapax/internal/marking"
	"github.com/hapaxmq/hapax/internal/relaying"
	"github.com/hapaxmq/hapax/internal/sqltext"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// Records are those of the outbox as relays see them: see package relay. They hear of
// [Outbox.Wake] over a connection of their own.
func (o *Outbox) Records() relay.Source { return &heard{o.records, o.pool} }

// Wake tells relays of this outbox, wherever they run, to look for records now: call it after
// the commit of what was put. It returns at once; many calls are one statement, every 5 ms at
// most. Without it, relays find records at their next look ([relay.Options]). It is no part of
// the transaction because that would make all commits of the database wait for each other.
func (o *Outbox) Wake() { o.bell.Ring() }

// heard is a [relay.Waker].
type heard struct {
	*relaying.Records

	pool *pgxpool.Pool
}

// Listen is the method of [relay.Waker].
func (h *heard) Listen(ctx context.Context, wake func()) error {
	conn, err := h.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	own := conn.Hijack() // nobody else is to hear of it
	defer func() { _ = own.Close(context.WithoutCancel(ctx)) }()
	if _, err := own.Exec(ctx, sqltext.Listen(h.Table())); err != nil {
		return err
	}
	for {
		wake() // of what came before it listened, too
		if _, err := own.WaitForNotification(ctx); err != nil {
			return err
		}
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
// they see is committed.
func records(pool *pgxpool.Pool, table string) *relaying.Records {
	t := &marking.Transactor[pgx.Tx]{
		Begin: beginner(pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}), Fault: fault, Runs: relaying.Runs, Settle: relaying.Settle,
	}
	return relaying.New(sqltext.Postgres, table, anywhere{pool}, func(ctx context.Context, f func(context.Context, marking.Tx) error) error {
		return t.Transact(ctx, func(ctx context.Context, tx pgx.Tx) error { return f(ctx, transaction{tx}) })
	})
}
