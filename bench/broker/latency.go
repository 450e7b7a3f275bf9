package main

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
)

// latency is from the call that sends a record to the poll that returns it.
func (b *bench) latency() error {
	for _, rate := range []int{1000, 20_000} {
		f, err := b.figures(2, func(n *node) ([]float64, error) { return b.latencyOnce(n, rate) })
		if err != nil {
			return err
		}
		what := fmt.Sprintf("send to poll at %d k/s", rate/1000)
		b.compare(what+", p50", "ms", f[0], report.AtMost(1.3, "×"))
		b.compare(what+", p99", "ms", f[1], report.AtMost(1, "×"))
	}
	return nil
}

// latencyOnce returns the milliseconds that half of the records, and all but a
// hundredth, stayed below.
func (b *bench) latencyOnce(n *node, rate int) (figures []float64, err error) {
	err = n.topic(b.ctx, 1, func(topic string) error {
		c, err := n.client(kgo.DefaultProduceTopic(topic), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			return err
		}
		defer c.Close()
		began := time.Now()
		total := int(b.span().Seconds() * float64(rate))
		var failed firstError
		go func() {
			for sent := 0; sent < total; {
				for due := int(time.Since(began).Seconds() * float64(rate)); sent < min(due, total); sent++ {
					value := make([]byte, 100)
					binary.LittleEndian.PutUint64(value, uint64(time.Since(began)))
					c.Produce(b.ctx, &kgo.Record{Value: value}, func(_ *kgo.Record, err error) { failed.note(err) })
				}
				time.Sleep(100 * time.Microsecond)
			}
		}()
		var times measure.Histogram
		for got := 0; got < total; {
			fetches := c.PollFetches(b.ctx)
			now := time.Since(began)
			if err := fetches.Err(); err != nil {
				return err
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if got++; got > total/10 { // the first ones meet a client that looks the topic up
					times.Add(now - time.Duration(binary.LittleEndian.Uint64(r.Value)))
				}
			})
		}
		figures = []float64{ms(times.Quantile(0.5)), ms(times.Quantile(0.99))}
		return failed.err
	})
	return figures, err
}
