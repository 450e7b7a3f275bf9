package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/server"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// latency puts a thousand records a second, each in a transaction of its own, and measures
// from the commit until a consumer that reads committed has the record. Beside it are transactions
// of the broker's own: after as many commits a second, and read alike; and one after the other, unread.
func (b *bench) latency() error {
	if err := b.brokers(); err != nil {
		return err
	}
	for i, n := range b.nodes {
		passes := []measure.Pass{
			func(int) (float64, error) { return b.relayed(n, b.size(10_000)) },
			func(int) (float64, error) { return b.transacted(n, b.size(10_000)) },
			func(int) (float64, error) { return b.ownTransactions(n, b.size(2500)) },
		}
		if _, err := measure.Rounds(1, passes); err != nil { // Java compiles what it runs often
			return err
		}
		figures, err := measure.Rounds(b.rounds, passes)
		if err != nil {
			return err
		}
		work, ours := fmt.Sprintf("from commit in PostgreSQL to read-committed in %s, at 1 k/s, p50", n.Name), report.Of(measure.Median(figures[0]), "ms")
		bound := report.AtMost(20, "ms")
		if i > 0 {
			bound = report.AtMost(2, "×")
		}
		b.add(report.Line{
			Work: work, Bound: bound, Ours: ours, Ratio: measure.Ratio(figures[0], figures[1]),
			Peer: "its own transaction of one record after each commit, by hand, which a crash between them loses", Their: report.Of(measure.Median(figures[1]), "ms"),
		})
		b.add(report.Line{
			Work: work, Ours: ours, Ratio: measure.Ratio(figures[0], figures[2]),
			Peer: "its own transaction of one record alone, unread", Their: report.Of(measure.Median(figures[2]), "ms"),
		})
	}
	return nil
}

// relayed returns the median in milliseconds.
func (b *bench) relayed(n *server.Node, records int) (p50 float64, err error) {
	err = b.topic(n, func(topic string) error {
		return b.withBox(func(out *pgxdb.Outbox) error {
			return b.relaying(out, n, func(*relay.Relay) error {
				p50, err = b.pace(n, topic, records, func(_ int, key string, body []byte) (time.Time, error) {
					err := pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error {
						return out.Put(b.ctx, tx, outbox.Record{Topic: topic, OrderKey: key, Payload: body})
					})
					committed := time.Now()
					out.Wake()
					return committed, err
				})
				return err
			})
		})
	})
	return p50, err
}

// transacted is the same where each client publishes after its commit, in a transaction of the
// broker's own.
func (b *bench) transacted(n *server.Node, records int) (p50 float64, err error) {
	for _, statement := range []string{"DROP TABLE IF EXISTS hapax_bench_hand", handTable} {
		if _, err := b.pool.Exec(b.ctx, statement); err != nil {
			return 0, err
		}
	}
	err = b.topic(n, func(topic string) error {
		var producers []*kgo.Client
		defer func() {
			for _, c := range producers {
				c.Close()
			}
		}()
		for range clients {
			c, err := b.producer(n, topic)
			if err != nil {
				return err
			}
			producers = append(producers, c)
		}
		p50, err = b.pace(n, topic, records, func(client int, key string, body []byte) (time.Time, error) {
			err := pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error {
				_, err := tx.Exec(b.ctx, handInsert, outbox.NewID(), topic, []byte(key), body)
				return err
			})
			committed := time.Now()
			if err == nil {
				err = b.transaction(producers[client], &kgo.Record{Key: []byte(key), Value: body})
			}
			return committed, err
		})
		return err
	})
	_, e := b.pool.Exec(b.ctx, "DROP TABLE hapax_bench_hand")
	return p50, errors.Join(err, e)
}

func (b *bench) producer(n *server.Node, topic string) (*kgo.Client, error) {
	return kgo.NewClient(kgo.SeedBrokers(n.Address), kgo.DefaultProduceTopic(topic), kgo.TransactionalID(rand.Text()), kgo.ProducerLinger(0))
}

func (b *bench) transaction(c *kgo.Client, r *kgo.Record) error {
	if err := c.BeginTransaction(); err != nil {
		return err
	}
	if err := c.ProduceSync(b.ctx, r).FirstErr(); err != nil {
		return err
	}
	return c.EndTransaction(b.ctx, kgo.TryCommit)
}

// clients is how many send at once.
const clients = 16

// sender sends a record, and tells since when it is on its way.
type sender func(client int, key string, body []byte) (since time.Time, err error)

// pace has records sent at 1 k/s, reads them, and returns the median in milliseconds.
func (b *bench) pace(n *server.Node, topic string, records int, send sender) (p50 float64, err error) {
	const warm = 1000
	total := records + warm
	c, err := kgo.NewClient(kgo.SeedBrokers(n.Address), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	ctx, stop := context.WithCancelCause(b.ctx)
	defer stop(nil)
	since := make([]time.Time, total)
	var writers sync.WaitGroup
	began := time.Now().Add(time.Second) // the relay takes its shards
	for w := range clients {
		writers.Go(func() {
			for i := w; i < total && ctx.Err() == nil; i += clients {
				time.Sleep(time.Until(began.Add(time.Duration(i) * time.Millisecond)))
				body := payload()
				binary.LittleEndian.PutUint64(body, uint64(i))
				var err error
				if since[i], err = send(w, fmt.Sprint(i%keys), body); err != nil {
					stop(err)
				}
			}
		})
	}
	read := make([]time.Time, total)
	err = collect(ctx, c, read)
	stop(err)
	writers.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return 0, err
	}
	var h measure.Histogram
	for i := warm; i < total; i++ {
		h.Add(max(read[i].Sub(since[i]), 0)) // a commit may be read before it is answered
	}
	return h.Quantile(0.5).Seconds() * 1e3, err
}

// collect notes when each record was read.
func collect(ctx context.Context, c *kgo.Client, read []time.Time) error {
	for left := len(read); left > 0; {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		now := time.Now()
		for r := range fetches.RecordsAll() {
			i := binary.LittleEndian.Uint64(r.Value)
			if !read[i].IsZero() {
				return fmt.Errorf("record %d came twice", i)
			}
			read[i] = now
			left--
		}
	}
	return nil
}

// ownTransactions returns the median of transactions of one record, one after the other.
func (b *bench) ownTransactions(n *server.Node, count int) (p50 float64, err error) {
	var h measure.Histogram
	err = b.topic(n, func(topic string) error {
		c, err := b.producer(n, topic)
		if err != nil {
			return err
		}
		defer c.Close()
		body := payload()
		for i := range count/10 + 20 {
			began := time.Now()
			if err := b.transaction(c, &kgo.Record{Value: body}); err != nil {
				return err
			}
			if i >= 20 {
				h.Add(time.Since(began))
			}
		}
		return nil
	})
	return h.Quantile(0.5).Seconds() * 1e3, err
}
