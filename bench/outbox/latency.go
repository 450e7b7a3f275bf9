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
// from the commit until a consumer that reads committed has the record.
func (b *bench) latency() error {
	if err := b.brokers(); err != nil {
		return err
	}
	for i, n := range b.nodes {
		passes := []measure.Pass{
			func(int) (float64, error) { return b.latencyOnce(n, b.size(10_000)) },
			func(int) (float64, error) { return b.ownTransactions(n, b.size(2500)) },
		}
		if _, err := measure.Rounds(1, passes); err != nil { // Java compiles what it runs often
			return err
		}
		figures, err := measure.Rounds(b.rounds, passes)
		if err != nil {
			return err
		}
		bound := report.AtMost(20, "ms")
		if i > 0 {
			bound = report.AtMost(2, "×")
		}
		b.add(report.Line{
			Work: fmt.Sprintf("from commit in PostgreSQL to read-committed in %s, at 1 k/s, p50", n.Name), Bound: bound,
			Ours: report.Of(measure.Median(figures[0]), "ms"), Peer: "its own transaction of one record", Their: report.Of(measure.Median(figures[1]), "ms"),
			Ratio: measure.Ratio(figures[0], figures[1]),
		})
	}
	return nil
}

// latencyOnce returns the median in milliseconds.
func (b *bench) latencyOnce(n *server.Node, records int) (p50 float64, err error) {
	err = b.topic(n, func(topic string) error {
		return b.withBox(func(out *pgxdb.Outbox) error {
			return b.relaying(out, n, func(r *relay.Relay) error {
				p50, err = b.pace(out, n, topic, records)
				return err
			})
		})
	})
	return p50, err
}

// pace puts records at 1 k/s, by sixteen clients, and reads them.
func (b *bench) pace(out *pgxdb.Outbox, n *server.Node, topic string, records int) (p50 float64, err error) {
	const warm, clients = 1000, 16
	total := records + warm
	c, err := kgo.NewClient(kgo.SeedBrokers(n.Address), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	ctx, stop := context.WithCancelCause(b.ctx)
	defer stop(nil)
	committed := make([]time.Time, total)
	var writers sync.WaitGroup
	began := time.Now().Add(time.Second) // the relay takes its shards
	for w := range clients {
		writers.Go(func() {
			for i := w; i < total && ctx.Err() == nil; i += clients {
				time.Sleep(time.Until(began.Add(time.Duration(i) * time.Millisecond)))
				body := payload()
				binary.LittleEndian.PutUint64(body, uint64(i))
				err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
					return out.Put(ctx, tx, outbox.Record{Topic: topic, OrderKey: fmt.Sprint(i % keys), Payload: body})
				})
				committed[i] = time.Now()
				if err != nil {
					stop(err)
				}
				out.Wake()
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
		h.Add(max(read[i].Sub(committed[i]), 0)) // a commit may be read before it is answered
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
		c, err := kgo.NewClient(kgo.SeedBrokers(n.Address), kgo.DefaultProduceTopic(topic), kgo.TransactionalID(rand.Text()), kgo.ProducerLinger(0))
		if err != nil {
			return err
		}
		defer c.Close()
		body := payload()
		for i := range count/10 + 20 {
			began := time.Now()
			if err := c.BeginTransaction(); err != nil {
				return err
			}
			if err := c.ProduceSync(b.ctx, &kgo.Record{Value: body}).FirstErr(); err != nil {
				return err
			}
			if err := c.EndTransaction(b.ctx, kgo.TryCommit); err != nil {
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
