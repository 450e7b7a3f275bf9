package examples_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgxpool"
	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/broker"
	"github.com/hapaxmq/hapax/examples"
	"github.com/hapaxmq/hapax/internal/servertest"
)

// patience is how long what must happen may take.
const patience = time.Minute

// during runs an example until what must happen has, and tells what it returned.
func during(t *testing.T, run func(context.Context) error, happened func() bool) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(patience)
	for !happened() {
		select {
		case err := <-ended:
			t.Fatalf("the example ended: %v", err)
		case <-deadline:
			t.Fatal("nothing happened")
		case <-look.C:
		}
	}
	cancel()
	return <-ended
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// own is a name that no other test has, nor another run of this one.
func own(of string) string { return fmt.Sprintf("%s_%08x", of, rand.Uint32()) }

// node is a broker that speaks Kafka's protocol, with topics.
func node(t *testing.T, topics ...string) string {
	t.Helper()
	b, err := broker.Open(t.TempDir(), broker.Options{
		Listeners: []broker.Listener{{Address: "127.0.0.1:0"}},
		Settings:  broker.Settings{"group.initial.rebalance.delay.ms": "0"},
	})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { b.Serve(ctx) })
	t.Cleanup(func() {
		cancel()
		serving.Wait()
		must(t, b.Close())
	})
	c := kafkaClient(t, b.Addresses()[0])
	for _, topic := range topics {
		_, err := kadm.NewClient(c).CreateTopic(t.Context(), 2, 1, nil, topic)
		must(t, err)
	}
	return b.Addresses()[0]
}

func kafkaClient(t *testing.T, address string, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(more, kgo.SeedBrokers(address))...)
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// postgres is a pool in a schema of the test's own.
func postgres(t *testing.T, tables string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(servertest.Postgres(t))
	must(t, err)
	schema := own("examples")
	config.ConnConfig.RuntimeParams["search_path"] = schema
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	must(t, err)
	t.Cleanup(func() {
		_, err := pool.Exec(context.Background(), "DROP SCHEMA "+schema+" CASCADE")
		if err != nil {
			t.Error(err)
		}
		pool.Close()
	})
	_, err = pool.Exec(t.Context(), "CREATE SCHEMA "+schema+"; "+tables)
	must(t, err)
	return pool
}

func TestKafkaToPostgres(t *testing.T) {
	t.Parallel()
	pool := postgres(t, "CREATE TABLE account (name text PRIMARY KEY, cents bigint); INSERT INTO account VALUES ('ann', 0), ('bob', 0)")
	address := node(t, "payments", "payments.dead")
	c := kafkaClient(t, address, kgo.DefaultProduceTopic("payments"))
	pay := func(id, text string) {
		r := &kgo.Record{Value: []byte(text), Headers: []kgo.RecordHeader{{Key: "payment-id", Value: []byte(id)}}}
		must(t, c.ProduceSync(t.Context(), r).FirstErr())
	}
	for range 3 {
		pay("p-1", `{"account": "ann", "cents": 100}`)
	}
	pay("p-2", "no JSON")
	pay("p-3", `{"account": "nobody", "cents": 1}`)
	pay("p-4", `{"account": "bob", "cents": 7}`)

	dead := kafkaClient(t, address, kgo.ConsumeTopics("payments.dead"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	run := func(ctx context.Context) error { return examples.KafkaToPostgres(ctx, []string{address}, pool) }
	cents := func(of string) (n int) {
		must(t, pool.QueryRow(t.Context(), "SELECT cents FROM account WHERE name = $1", of).Scan(&n))
		return n
	}
	reasons := 0
	must(t, during(t, run, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		reasons += dead.PollFetches(ctx).NumRecords()
		return reasons >= 2 && cents("bob") == 7 && cents("ann") == 100
	}))
	must(t, during(t, run, func() bool { // in another process, which begins with a copy
		pay("p-4", `{"account": "bob", "cents": 7}`)
		pay("p-5", `{"account": "ann", "cents": 11}`)
		return cents("ann") == 111
	}))
	if cents("bob") != 7 {
		t.Errorf("bob has %d cents, want 7", cents("bob"))
	}
	must(t, examples.ForgetPayments(t.Context(), pool))
}

func TestRabbitMQWithRedis(t *testing.T) {
	t.Parallel()
	cache := redis.NewClient(&redis.Options{Addr: servertest.Redis(t), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = cache.Close() })
	conn, err := amqp.Dial(servertest.RabbitMQ(t))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	must(t, err)
	queue := own("parcels")
	_, err = ch.QueueDeclare(queue, true, false, false, false, nil)
	must(t, err)
	t.Cleanup(func() {
		if _, err := ch.QueueDelete(queue, false, false, false); err != nil {
			t.Error(err)
		}
	})
	ids := []string{own("a"), own("b")} // for the scope is shared with other runs
	for _, id := range []string{ids[0], ids[0], ids[1], ids[0]} {
		must(t, ch.PublishWithContext(t.Context(), "", queue, false, false,
			amqp.Publishing{MessageId: id, Body: []byte("one book"), DeliveryMode: amqp.Persistent}))
	}
	var mu sync.Mutex
	calls := map[string]int{} // by reference
	parcel := func(_ context.Context, reference string, _ []byte) error {
		mu.Lock()
		defer mu.Unlock()
		if calls[reference]++; len(calls) == 1 && calls[reference] == 1 {
			return errors.New("the carrier's answer was lost")
		}
		return nil
	}
	empty := func() bool {
		mu.Lock()
		defer mu.Unlock()
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		must(t, err)
		return q.Messages == 0 && len(calls) == 2
	}
	must(t, during(t, func(ctx context.Context) error {
		return examples.RabbitMQWithRedis(ctx, conn, cache, queue, parcel)
	}, func() bool {
		mu.Lock()
		all := 0
		for _, n := range calls {
			all += n
		}
		mu.Unlock()
		return all == 3 && empty()
	}))
	if all := len(calls); all != 2 {
		t.Errorf("%d references, want one for each message: %v", all, calls)
	}
}

func TestNATSToMariaDB(t *testing.T) {
	t.Parallel()
	database := own("examples")
	server, err := sql.Open("mysql", servertest.MariaDB(t))
	must(t, err)
	defer func() { _ = server.Close() }()
	_, err = server.ExecContext(t.Context(), "CREATE DATABASE "+database)
	must(t, err)
	defer func() {
		if _, err := server.ExecContext(context.Background(), "DROP DATABASE "+database); err != nil {
			t.Error(err)
		}
	}()
	db, err := sql.Open("mysql", strings.TrimSuffix(servertest.MariaDB(t), "hapax")+database)
	must(t, err)
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(t.Context(), "CREATE TABLE reading (value INT NOT NULL)")
	must(t, err)

	conn, err := client.Connect(servertest.NATS(t))
	must(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	must(t, err)
	stream := own("READINGS")
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: stream, Subjects: []string{stream}, Duplicates: 100 * time.Millisecond})
	must(t, err)
	defer func() {
		if err := js.DeleteStream(context.Background(), stream); err != nil {
			t.Error(err)
		}
	}()
	for _, value := range []string{"20", "22", "20"} {
		m := &client.Msg{Subject: stream, Data: []byte(value), Header: client.Header{"Nats-Msg-Id": {"r-" + value}}}
		for { // until the stream takes it: a copy when its own window is over
			ack, err := js.PublishMsg(t.Context(), m)
			must(t, err)
			if !ack.Duplicate {
				break
			}
		}
	}
	from := func() jetstream.ConsumerInfo {
		c, err := js.Consumer(t.Context(), stream, "readings")
		if err != nil {
			return jetstream.ConsumerInfo{NumPending: 1}
		}
		info, err := c.Info(t.Context())
		must(t, err)
		return *info
	}
	must(t, during(t, func(ctx context.Context) error { return examples.NATSToMariaDB(ctx, js, stream, db) }, func() bool {
		info := from()
		return info.NumPending == 0 && info.NumAckPending == 0
	}))
	var rows int
	must(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM reading").Scan(&rows))
	if rows != 2 {
		t.Errorf("%d readings, want 2", rows)
	}
}
