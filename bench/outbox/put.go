package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/outbox"
)

const (
	handTable = "CREATE TABLE hapax_bench_hand (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL," +
		" topic text NOT NULL, order_key bytea NOT NULL, payload bytea NOT NULL, put timestamptz NOT NULL DEFAULT now())"
	handInsert = "INSERT INTO hapax_bench_hand (id, topic, order_key, payload) VALUES ($1, $2, $3, $4)"
)

// put puts a record of 1 KB into a transaction that changes a row, beside an INSERT into a table
// for outgoing records as one would make it.
func (b *bench) put() error {
	for _, statement := range []string{
		"DROP TABLE IF EXISTS hapax_bench_hand, hapax_bench_accounts", handTable,
		"CREATE TABLE hapax_bench_accounts (id integer PRIMARY KEY, balance bigint NOT NULL) WITH (fillfactor = 50)",
		fmt.Sprintf("INSERT INTO hapax_bench_accounts SELECT i, 0 FROM generate_series(0, %d) AS i", keys-1),
	} {
		if _, err := b.pool.Exec(b.ctx, statement); err != nil {
			return err
		}
	}
	err := b.withBox(func(out *pgxdb.Outbox) error {
		for _, clients := range []int{1, 16} {
			if err := b.putBy(out, clients); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = b.pool.Exec(b.ctx, "DROP TABLE hapax_bench_hand, hapax_bench_accounts")
	return err
}

func (b *bench) putBy(out *pgxdb.Outbox, clients int) error {
	body := payload()
	ours := func(ctx context.Context, tx pgx.Tx, key int) error {
		return out.Put(ctx, tx, outbox.Record{Topic: "payments", OrderKey: fmt.Sprint(key), Payload: body})
	}
	byHand := func(ctx context.Context, tx pgx.Tx, key int) error {
		_, err := tx.Exec(ctx, handInsert, outbox.NewID(), "payments", fmt.Append(nil, key), body)
		return err
	}
	pass := func(put func(context.Context, pgx.Tx, int) error) measure.Pass {
		return func(int) (float64, error) { return b.transactions(b.size(2000*min(clients, 4)), clients, put) }
	}
	passes := []measure.Pass{pass(ours), pass(byHand)}
	for _, p := range passes { // turns that are not counted
		if _, err := p(0); err != nil {
			return err
		}
	}
	figures, err := measure.Rounds(2*b.rounds, passes)
	if err != nil {
		return err
	}
	b.add(report.Line{
		Work: fmt.Sprintf("a transaction with a change and a record of 1 KB, clients: %d", clients), Bound: report.AtMost(1.1, "×"),
		Ours: report.Of(measure.Median(figures[0]), "µs"), Peer: "an INSERT by hand", Their: report.Of(measure.Median(figures[1]), "µs"),
		Ratio: measure.Ratio(figures[0], figures[1]),
	})
	return nil
}

// transactions returns the time that each of them took a client, in microseconds.
func (b *bench) transactions(count, clients int, put func(context.Context, pgx.Tx, int) error) (float64, error) {
	ctx, stop := context.WithCancelCause(b.ctx)
	defer stop(nil)
	var all sync.WaitGroup
	began := time.Now()
	for c := range clients {
		all.Go(func() {
			for i := c; i < count && ctx.Err() == nil; i += clients {
				err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
					if _, err := tx.Exec(ctx, "UPDATE hapax_bench_accounts SET balance = balance + 1 WHERE id = $1", i%keys); err != nil {
						return err
					}
					return put(ctx, tx, i%keys)
				})
				if err != nil {
					stop(err)
				}
			}
		})
	}
	all.Wait()
	return float64(time.Since(began).Microseconds()) * float64(clients) / float64(count), context.Cause(ctx)
}
