package main

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
)

// transactions has one producer that begins the next as soon as the last is
// committed, on four partitions.
func (b *bench) transactions() error {
	rate, err := b.singleOnce(b.nodes[0], 1)
	if err != nil {
		return err
	}
	for _, load := range []struct {
		records int
		bound   *report.Bound
	}{{1, report.AtLeast(20, "×")}, {100, report.AtLeast(20, "×")}, {10_000, report.AtLeast(2, "×")}} {
		figures, err := b.each(func(n *node) (float64, error) { return b.transactionsOnce(n, load.records) })
		if err != nil {
			return err
		}
		what := fmt.Sprintf("transactions of %d records", load.records)
		b.compare(what, "/s", figures, load.bound)
		if load.records < 10_000 {
			ours := measure.Median(figures[0])
			b.add(report.Line{
				Work: what, Ours: report.Of(ours, "/s"), Peer: "hapax, one by one, callers: 1", Their: report.Of(rate[0]*1e3, "/s"),
				Ratio: ours / (rate[0] * 1e3), Bound: report.AtLeast(0.4, "×"),
			})
		}
	}
	return nil
}

// transactionsOnce returns transactions a second.
func (b *bench) transactionsOnce(n *node, records int) (rate float64, err error) {
	err = n.topic(b.ctx, 4, func(topic string) error {
		c, err := n.client(kgo.DefaultProduceTopic(topic), kgo.TransactionalID(rand.Text()))
		if err != nil {
			return err
		}
		defer c.Close()
		value := make([]byte, 100)
		var failed firstError
		done := func(_ *kgo.Record, err error) { failed.note(err) }
		once := func() error {
			if err := c.BeginTransaction(); err != nil {
				return err
			}
			for range records {
				c.Produce(b.ctx, &kgo.Record{Value: value}, done)
			}
			if err := c.Flush(b.ctx); err != nil {
				return err
			}
			return c.EndTransaction(b.ctx, kgo.TryCommit)
		}
		if err := once(); err != nil {
			return err
		}
		count, began := 0, time.Now()
		for ; time.Since(began) < b.span(); count++ {
			if err := once(); err != nil {
				return err
			}
		}
		rate = float64(count) / time.Since(began).Seconds()
		return failed.err
	})
	return rate, err
}
