package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/server"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// drain has a backlog published: by a relay, and by the loop that one writes by hand, which
// may publish records twice.
func (b *bench) drain() error {
	if err := b.brokers(); err != nil {
		return err
	}
	for _, n := range b.nodes {
		records := b.size(100_000)
		if _, err := b.drainOnce(n, 100, b.byRelay); err != nil { // Kafka makes its topic of transactions
			return err
		}
		figures, err := measure.Rounds(b.rounds, []measure.Pass{
			func(int) (float64, error) { return b.drainOnce(n, records, b.byRelay) },
			func(int) (float64, error) { return b.drainOnce(n, records, b.byLoop) },
		})
		if err != nil {
			return err
		}
		b.add(report.Line{
			Work: fmt.Sprintf("backlog of 1 KB records, PostgreSQL to %s", n.Name), Bound: report.AtLeast(20, "k/s"),
			Ours: report.Of(measure.Median(figures[0]), "k/s"), Peer: "a loop by hand, at least once", Their: report.Of(measure.Median(figures[1]), "k/s"),
			Ratio: measure.Ratio(figures[0], figures[1]),
		})
	}
	return nil
}

// drainOnce returns thousands of records a second.
func (b *bench) drainOnce(n *server.Node, records int, by func(*pgxdb.Outbox, *server.Node, string, int) error) (rate float64, err error) {
	err = b.topic(n, func(topic string) error {
		return b.withBox(func(out *pgxdb.Outbox) error {
			if err := b.fill(out, topic, records); err != nil {
				return err
			}
			for _, statement := range []string{"ANALYZE hapax_bench_outbox", "CHECKPOINT"} { // as the server does within a minute
				if _, err := b.pool.Exec(b.ctx, statement); err != nil {
					return err
				}
			}
			measure.Settle()
			began := time.Now()
			err := by(out, n, topic, records)
			rate = float64(records) / 1e3 / time.Since(began).Seconds()
			return err
		})
	})
	return rate, err
}

func (b *bench) byRelay(out *pgxdb.Outbox, n *server.Node, _ string, records int) error {
	return b.relaying(out, n, func(r *relay.Relay) error { return b.published(r, int64(records)) })
}

// byLoop reads records, waits until they are published, deletes them, and so on.
func (b *bench) byLoop(_ *pgxdb.Outbox, n *server.Node, topic string, records int) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(n.Address), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	defer c.Close()
	for left := records; left > 0; {
		err := pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error {
			done, err := publishSome(b.ctx, tx, c)
			left -= done
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func publishSome(ctx context.Context, tx pgx.Tx, c *kgo.Client) (int, error) {
	rows, err := tx.Query(ctx, "DELETE FROM hapax_bench_outbox WHERE position IN (SELECT position FROM hapax_bench_outbox"+
		" ORDER BY position LIMIT 1000 FOR UPDATE SKIP LOCKED) RETURNING id, order_key, payload")
	if err != nil {
		return 0, err
	}
	batch, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*kgo.Record, error) {
		var id string
		r := &kgo.Record{}
		err := row.Scan(&id, &r.Key, &r.Value)
		r.Headers = []kgo.RecordHeader{{Key: "id", Value: []byte(id)}}
		return r, err
	})
	if err != nil {
		return 0, err
	}
	return len(batch), c.ProduceSync(ctx, batch...).FirstErr()
}
