package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/inbox"
)

// pool is PostgreSQL by pgx itself, with the tables of [bench.postgres].
type pool struct {
	*pgxpool.Pool
	d *database
}

// pgx measures what postgres does by database/sql.
func (b *bench) pgx() error {
	d, err := b.openPostgres()
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // nothing is lost
	config, err := pgxpool.ParseConfig(postgresSource)
	if err != nil {
		return err
	}
	config.MaxConns = 16
	p := pool{d: d}
	if p.Pool, err = pgxpool.NewWithConfig(b.ctx, config); err != nil {
		return err
	}
	defer p.Close()
	for _, measure := range []func(pool) error{b.pgxByID, b.pgxByPosition, b.pgxByColumn} {
		if err := measure(p); err != nil {
			return err
		}
	}
	return nil
}

// run is a handler of one row.
func (p pool) run(ctx context.Context, tx pgx.Tx, m *hapax.Message) (hapax.Receipt, error) {
	_, err := tx.Exec(ctx, p.d.effect, m.Key, 1)
	return nil, err
}

// byHand is [database.byHand].
func (p pool) byHand(ctx context.Context, number int64) error {
	m := message(number)
	return pgx.BeginFunc(ctx, p.Pool, func(tx pgx.Tx) error {
		marked, err := tx.Exec(ctx, p.d.mark, m.Key)
		if err != nil || marked.RowsAffected() == 0 {
			return err
		}
		_, err = tx.Exec(ctx, p.d.effect, m.Key, 1)
		return err
	})
}

// inboxOf is an inbox over marks.
func (p pool) inboxOf(m *pgxdb.Marks, err error, o inbox.Options, run inbox.TxHandler[pgx.Tx]) (*inbox.TxInbox[pgx.Tx], error) {
	if err == nil {
		err = m.Migrate(context.Background())
	}
	if err != nil {
		return nil, err
	}
	return inbox.Transaction(m, o, run)
}

func (b *bench) pgxByID(p pool) error {
	marks, err := pgxdb.ByID(p.Pool, pgxdb.Options{})
	in, err := p.inboxOf(marks, err, options(), p.run)
	if err != nil {
		return err
	}
	ours := func(ctx context.Context, number int64) error { return executed(in.Handle(ctx, message(number))) }
	for _, n := range []int{1, 16} {
		w := work{
			name:    fmt.Sprintf("PostgreSQL by pgx: a handler of one row in a transaction, workers: %d", n),
			workers: n, count: b.size(2000 * min(n, 4)), peer: handWritten, bound: report.AtLeast(0.95, "×"),
		}
		if err := b.compare(w, [2]handle{ours, p.byHand}); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) pgxByPosition(p pool) error {
	marks, err := pgxdb.ByPosition(p.Pool, pgxdb.Options{})
	o := options()
	o.Identity = inbox.ByPosition
	in, err := p.inboxOf(marks, err, o, p.run)
	if err != nil {
		return err
	}
	ours := func(ctx context.Context, number int64) error { return executed(in.Handle(ctx, placed(number))) }
	return b.compare(work{
		name:    "PostgreSQL by pgx: the same by positions, partitions: 16",
		workers: partitions, count: b.size(8000), peer: handWritten + ", by ids", bound: report.AtLeast(1, "×"),
	}, [2]handle{ours, p.byHand})
}

func (b *bench) pgxByColumn(p pool) error {
	insert := func(ctx context.Context, tx pgx.Tx, m *hapax.Mark) (bool, error) {
		inserted, err := tx.Exec(ctx, p.d.unique, []byte(m.Identity), 1)
		return inserted.RowsAffected() == 1, err
	}
	marks, err := pgxdb.ByOwn(p.Pool, insert, pgxdb.Options{})
	nothing := func(context.Context, pgx.Tx, *hapax.Message) (hapax.Receipt, error) { return nil, nil }
	in, err := p.inboxOf(marks, err, options(), nothing)
	if err != nil {
		return err
	}
	ours := func(ctx context.Context, number int64) error { return executed(in.Handle(ctx, message(number))) }
	return b.compare(work{
		name:    "PostgreSQL by pgx: the same, the effect's own unique column is the mark, workers: 16",
		workers: 16, count: b.size(8000), peer: handWritten + ", with a table of marks", bound: report.AtLeast(1.2, "×"),
	}, [2]handle{ours, p.byHand})
}
