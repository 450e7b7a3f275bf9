package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/outbox"
)

// naive is a service as it is written by hand, with care: it publishes by an outbox, and
// acknowledges a message when it is handled, so that nothing is ever lost.
type naive struct {
	*service
}

func (n *naive) serve(_ context.Context, h http.Handler) (http.Handler, error) { return h, nil }

func (n *naive) idOf(context.Context, string) string { return "" }

// consume handles one message after the other, until each is handled, and then commits
// its offset.
func (n *naive) consume(ctx context.Context, c consumer, out outgoing) error {
	client, err := kgo.NewClient(append(n.member(), kgo.ConsumerGroup(n.Prefix+c.name),
		kgo.ConsumeTopics(n.Prefix+c.topic), kgo.DisableAutoCommit())...)
	if err != nil {
		return err
	}
	defer client.Close()
	for ctx.Err() == nil {
		for r := range client.PollRecords(ctx, 1).RecordsAll() {
			for n.once(ctx, c, out, r) != nil && ctx.Err() == nil {
				pause(ctx, 20*time.Millisecond)
			}
			if client.CommitRecords(ctx, r) != nil {
				break // the group went on without it, and the message comes again
			}
		}
	}
	return nil
}

func (n *naive) once(ctx context.Context, c consumer, out outgoing, r *kgo.Record) error {
	n.tell(line{What: came, Of: []string{idOf(r.Value)}, At: r.Offset})
	w := work{db: n.db, put: func(ctx context.Context, r outbox.Record) error { return out.put(ctx, n.db, r) }}
	if err := n.handle(ctx, c, w, r.Value); err != nil {
		return err
	}
	if err := n.ask(ctx, beforeAck, idOf(r.Value)); err != nil {
		return err
	}
	n.tell(line{What: didHandle, Of: []string{idOf(r.Value)}})
	return nil
}

// table is an outbox as it is written by hand: rows with a flag.
type table struct {
	*naive
}

func (n *naive) outgoing(ctx context.Context) (outgoing, error) {
	number := "INTEGER PRIMARY KEY"
	if n.Driver != driverSQLite {
		number = "BIGSERIAL PRIMARY KEY"
	}
	return &table{n}, n.create(ctx, "CREATE TABLE IF NOT EXISTS outgoing (n "+number+", topic TEXT, key TEXT, value TEXT, published BOOLEAN)")
}

func (t *table) put(ctx context.Context, db database, r outbox.Record) error {
	_, err := db.ExecContext(ctx, "INSERT INTO outgoing (topic, key, value, published) VALUES ($1, $2, $3, FALSE)",
		r.Topic, r.OrderKey, string(r.Payload))
	return err
}

// publish publishes what is not marked as published, and then marks it. Its client sends
// again what is not acknowledged, and numbers nothing, as most do unless they are told to.
func (t *table) publish(ctx context.Context) error {
	client, err := kgo.NewClient(t.kafka(kgo.DisableIdempotentWrite(), kgo.ProducerLinger(0))...)
	if err != nil {
		return err
	}
	defer client.Close()
	for ctx.Err() == nil {
		rows, err := t.pending(ctx)
		for i := 0; err == nil && i < len(rows); i++ {
			err = t.publishOne(ctx, client, rows[i])
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		if len(rows) == 0 {
			pause(ctx, 10*time.Millisecond)
		}
	}
	return nil
}

type row struct {
	n                 int64
	topic, key, value string
}

func (t *table) pending(ctx context.Context) (all []row, err error) {
	rows, err := t.db.QueryContext(ctx, "SELECT n, topic, key, value FROM outgoing WHERE NOT published ORDER BY n LIMIT 100")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.n, &r.topic, &r.key, &r.value); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

func (t *table) publishOne(ctx context.Context, client *kgo.Client, r row) error {
	id := idOf([]byte(r.value))
	if err := t.ask(ctx, beforePublish, id); err != nil {
		return err
	}
	record := &kgo.Record{
		Topic: t.Prefix + r.topic, Key: []byte(r.key), Value: []byte(r.value),
		Headers: []kgo.RecordHeader{{Key: "id", Value: fmt.Appendf(nil, "%s-%d", t.Part, r.n)}},
	}
	if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
		return err
	}
	if err := t.ask(ctx, afterPublish, id); err != nil {
		return err
	}
	_, err := t.db.ExecContext(ctx, "UPDATE outgoing SET published = TRUE WHERE n = $1", r.n)
	t.tell(line{What: isMarked, Of: []string{id}})
	return err
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
