package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/adapter/kafkarelay"
	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/bench/server"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

const (
	keys       = 1000 // order keys
	partitions = 6
)

// payload is 1 KB that no compression makes much smaller.
func payload() []byte {
	p := make([]byte, 1000)
	_, _ = rand.Read(p) // never fails
	return p
}

// withBox runs f with an empty outbox, and drops it.
func (b *bench) withBox(f func(*pgxdb.Outbox) error) (err error) {
	const table = "hapax_bench_outbox"
	drop := func() error {
		_, err := b.pool.Exec(b.ctx, fmt.Sprintf("DROP TABLE IF EXISTS %[1]s, %[1]s_ids, %[1]s_relays", table))
		return err
	}
	if err := drop(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	out, err := pgxdb.NewOutbox(b.pool, pgxdb.OutboxOptions{Table: table})
	if err == nil {
		err = out.Migrate(b.ctx)
	}
	if err != nil {
		return err
	}
	return f(out)
}

// fill puts so many records of 1 KB.
func (b *bench) fill(out *pgxdb.Outbox, topic string, n int) error {
	body := payload()
	for done := 0; done < n; {
		records := make([]outbox.Record, min(1000, n-done))
		for i := range records {
			body = bytes.Clone(body)
			copy(body, fmt.Sprint(done+i))
			records[i] = outbox.Record{Topic: topic, OrderKey: fmt.Sprint((done + i) % keys), Payload: body}
		}
		if err := pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error { return out.Put(b.ctx, tx, records...) }); err != nil {
			return err
		}
		done += len(records)
	}
	return nil
}

// relaying runs f beside a relay into a node.
func (b *bench) relaying(out *pgxdb.Outbox, n *server.Node, f func(*relay.Relay) error) error {
	to, err := kafkarelay.New(kafkarelay.Options{Replicas: 1}, kgo.SeedBrokers(n.Address), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	r, err := relay.New(out.Records(), to, relay.Options{})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(b.ctx)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	err = f(r)
	stop()
	return errors.Join(err, <-ended)
}

// published waits until a relay has published so many records.
func (b *bench) published(r *relay.Relay, n int64) error {
	for deadline := time.Now().Add(5 * time.Minute); r.Stats().Records < n; time.Sleep(time.Millisecond) {
		if b.ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("published %+v, want %d records", r.Stats(), n)
		}
	}
	return nil
}

// topic makes one, and deletes it after f.
func (b *bench) topic(n *server.Node, f func(topic string) error) (err error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(n.Address))
	if err != nil {
		return err
	}
	defer c.Close()
	admin, topic := kadm.NewClient(c), "bench-"+rand.Text()
	if _, err := admin.CreateTopic(b.ctx, partitions, 1, nil, topic); err != nil {
		return fmt.Errorf("make topic: %w", err)
	}
	defer func() {
		_, e := admin.DeleteTopic(b.ctx, topic)
		err = errors.Join(err, e)
	}()
	return f(topic)
}
