//go:build unix

package kafkarelay_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/adapter/kafkarelay"
	"github.com/hapaxmq/hapax/internal/relaytest"
	"github.com/hapaxmq/hapax/internal/servertest"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// asking is a source that asks before it keeps a seal.
type asking struct {
	relay.Source

	turn   sync.Mutex
	asked  chan sealed
	answer chan bool // no more to ask
	told   bool
}

type sealed struct {
	shard int
	batch int64
}

func (a *asking) Sealed(ctx context.Context, h relay.Hold, b relay.Batch) error {
	a.turn.Lock()
	if !a.told {
		a.asked <- sealed{h.Shard, b.Number}
		a.told = <-a.answer
	}
	a.turn.Unlock()
	for {
		err := a.Source.Sealed(ctx, h, b)
		if err == nil || errors.Is(err, relay.ErrLost) || ctx.Err() != nil {
			return err
		} // the connection was one from before
	}
}

// TestSealLost: PostgreSQL is killed while a batch is on its way, and forgets that it was sealed. The
// batch is not published then, and its records are, once.
func TestSealLost(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for _, driver := range []string{"pgx", "pgxpool"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			sealLost(t, n, driver)
		})
	}
}

func sealLost(t *testing.T, n *node, driver string) {
	t.Helper()
	database, url := servertest.StartPostgres(t, "-c", "wal_writer_delay=10s") // what nobody waits for is written late
	b := relaytest.NewBox(t, relaytest.Place{Driver: driver, Source: url, Table: "outbox"})
	topic := n.topic(t, "sealed-"+driver, nil)
	const keys, rounds = 4, 30
	b.PutRounds(t, topic, keys, 0, rounds)
	source := &asking{Source: b.Records(), asked: make(chan sealed), answer: make(chan bool)}
	stop := relaytest.Run(t, source, to(t, n), relay.Options{Batch: relaytest.Few(), Lease: time.Second, MaxPause: 100 * time.Millisecond})
	for lost := false; !lost; source.answer <- lost {
		of := <-source.asked
		database.Kill()
		database.Start()
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		var last int64
		err = conn.QueryRow(t.Context(), "SELECT batch FROM outbox_relays WHERE shard = $1", of.shard).Scan(&last)
		if err := errors.Join(err, conn.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		lost = last < of.batch // or else it was in a page that was full, and written
	}
	audit(t, n, topic, keys, rounds)
	b.Drained(t)
	stop()
}

// TestUnsealed: nothing is committed, nor sent to a topic with a window, before the database has the
// batch for good; and nobody waits for a transaction that the relay has given up.
func TestUnsealed(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	transactions, err := kafkarelay.New(kafkarelay.Options{Transaction: 10 * time.Minute}, connection(n.addr)...)
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]relay.Destination{"transactions": transactions, "window": toWindowed(t, n)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic := n.windowed(t, name)
			relaytest.NewBox(t, relaytest.SQLite(t)).Unsealed(t, topic, to)
			ctx, end := context.WithTimeout(t.Context(), patience)
			defer end()
			reader, writer := n.reader(t, topic), n.writer(t)
			const last = "behind it"
			for partition := range int32(4) {
				r := &kgo.Record{Topic: topic, Partition: partition, Headers: []kgo.RecordHeader{{Key: "id", Value: fmt.Append(nil, partition)}}, Value: []byte(last)}
				if err := writer.ProduceSync(ctx, r).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			for came := 0; came < 4; {
				fetches := reader.PollFetches(ctx)
				if err := fetches.Err0(); err != nil {
					t.Fatalf("read behind what was given up: %v", err)
				}
				for r := range fetches.RecordsAll() {
					came++
					if string(r.Value) != last {
						t.Errorf("%s came", r.Value)
					}
				}
			}
		})
	}
}
