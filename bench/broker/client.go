package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// client opens a client of the broker: idempotent, acks=all, uncompressed, as
// kgo is but for compression, and without waiting for more records.
func (n *node) client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(n.Address),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(200_000),
		kgo.FetchMaxWait(500 * time.Millisecond),
	}, options...)...)
}

// topic makes a topic, runs f and deletes it.
func (n *node) topic(ctx context.Context, partitions int, f func(name string) error) (err error) {
	name, err := n.create(ctx, partitions, nil)
	if err != nil {
		return err
	}
	if err := f(name); err != nil {
		return err
	}
	return n.admin(func(admin *kadm.Client) error {
		if _, err := admin.DeleteTopic(ctx, name); err != nil {
			return fmt.Errorf("delete topic: %w", err)
		}
		return nil
	})
}

// create makes a topic with settings.
func (n *node) create(ctx context.Context, partitions int, settings map[string]string) (name string, err error) {
	name = "bench-" + rand.Text()
	given := make(map[string]*string)
	for setting, value := range settings {
		given[setting] = &value
	}
	return name, n.admin(func(admin *kadm.Client) error {
		if _, err := admin.CreateTopic(ctx, int32(partitions), 1, given, name); err != nil {
			return fmt.Errorf("make topic: %w", err)
		}
		return nil
	})
}

// admin runs f with a client for what is not records.
func (n *node) admin(f func(*kadm.Client) error) error {
	c, err := n.client()
	if err != nil {
		return err
	}
	defer c.Close()
	return f(kadm.NewClient(c))
}

// firstError keeps the first error of many goroutines.
type firstError struct {
	once sync.Once
	err  error
}

func (e *firstError) note(err error) {
	if err != nil {
		e.once.Do(func() { e.err = err })
	}
}

// produce sends n records of a size, or as many as it can until the deadline,
// and returns how many and the time until the last was acknowledged.
func (n *node) produce(ctx context.Context, topic string, records, size int, most time.Duration, options ...kgo.Opt) (sent int, d time.Duration, err error) {
	c, err := n.client(append([]kgo.Opt{kgo.DefaultProduceTopic(topic)}, options...)...)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	var failed firstError
	done := func(_ *kgo.Record, err error) { failed.note(err) }
	value := make([]byte, size)
	began := time.Now()
	for ; sent < records; sent++ {
		if sent%1024 == 0 && time.Since(began) > most {
			break
		}
		c.Produce(ctx, &kgo.Record{Value: value}, done)
	}
	if err := c.Flush(ctx); err != nil {
		return 0, 0, err
	}
	return sent, time.Since(began), failed.err
}

// consume reads so many records and returns the time that took.
func (n *node) consume(ctx context.Context, topic string, records int) (time.Duration, error) {
	c, err := n.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	began := time.Now()
	for got := 0; got < records; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return 0, err
		}
		got += fetches.NumRecords()
	}
	return time.Since(began), nil
}
