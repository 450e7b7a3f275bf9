package examples_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/kafka"
	"github.com/hapaxmq/hapax/adapter/nats"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/servertest"
)

// kafkaBefore books payments twice where it dies, or loses its partitions, between the
// two steps. That its producers are idempotent changes nothing of that.
func kafkaBefore(ctx context.Context, c *kgo.Client, db *sql.DB) error {
	for {
		records := c.PollFetches(ctx)
		if err := records.Err0(); err != nil {
			return err
		}
		for _, r := range records.Records() {
			if _, err := db.ExecContext(ctx, "UPDATE account SET cents = cents + ?", string(r.Value)); err != nil {
				return err
			}
		}
		if err := c.CommitUncommittedOffsets(ctx); err != nil {
			return err
		}
	}
}

// kafkaAfter goes on where the group has committed.
func kafkaAfter(ctx context.Context, in kafka.Inbox, brokers ...string) error {
	c, err := kafka.New(in, kafka.Options{Group: "booking", Topics: []string{"payments"}}, kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// booking marks payments by what the producer calls them, and so finds what was sent
// twice as well.
func booking(marks *sqldb.Marks, id string) (*inbox.TxInbox[*sql.Tx], error) {
	return inbox.Transaction(marks, inbox.Options{
		Name: "booking", Identity: id, Window: 7 * 24 * time.Hour, // "header:payment-id", say
	}, func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
		_, err := tx.ExecContext(ctx, "UPDATE account SET cents = cents + ?", string(m.Value))
		return nil, err
	})
}

// natsBefore books payments twice where it dies before it has acknowledged, or takes
// longer than the ack wait. The stream's window of duplicates knows what publishers send,
// and nothing of deliveries.
func natsBefore(from jetstream.Consumer, db *sql.DB) (jetstream.ConsumeContext, error) {
	return from.Consume(func(m jetstream.Msg) {
		if _, err := db.Exec("UPDATE account SET cents = cents + ?", string(m.Data())); err == nil {
			_ = m.Ack() // or it comes again
		}
	})
}

// natsAfter goes on with the same durable consumer.
func natsAfter(ctx context.Context, in nats.Inbox, from jetstream.Consumer) error {
	c, err := nats.New(from, in, nats.Options{})
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// account is a database with marks, and what there is on the account.
func account(t *testing.T, id string) (db *sql.DB, in *inbox.TxInbox[*sql.Tx], cents func() int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "bank.db")+"?_pragma=busy_timeout(60000)&_pragma=journal_mode(wal)")
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), "CREATE TABLE account (cents INTEGER); INSERT INTO account VALUES (0)")
	must(t, err)
	marks, err := sqldb.ByID(db, sqldb.SQLite, sqldb.Options{})
	must(t, err)
	must(t, marks.Migrate(t.Context()))
	in, err = booking(marks, id)
	must(t, err)
	t.Cleanup(func() { must(t, in.Close()) })
	return db, in, func() (n int) {
		must(t, db.QueryRowContext(t.Context(), "SELECT cents FROM account").Scan(&n))
		return n
	}
}

func TestMigrationFromKafka(t *testing.T) {
	t.Parallel()
	address := node(t, "payments")
	c := kafkaClient(t, address, kgo.DefaultProduceTopic("payments"))
	pay := func(id, cents string) {
		r := &kgo.Record{Value: []byte(cents), Headers: []kgo.RecordHeader{{Key: "payment-id", Value: []byte(id)}}}
		must(t, c.ProduceSync(t.Context(), r).FirstErr())
	}
	db, in, cents := account(t, "header:payment-id")
	pay("p-1", "100")
	old := kafkaClient(t, address, kgo.ConsumerGroup("booking"), kgo.ConsumeTopics("payments"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	_ = during(t, func(ctx context.Context) error { return kafkaBefore(ctx, old, db) }, func() bool {
		committed := int64(0)
		offsets, err := kadm.NewClient(c).FetchOffsets(t.Context(), "booking")
		must(t, err)
		offsets.Each(func(o kadm.OffsetResponse) { committed += max(o.At, 0) })
		return cents() == 100 && committed == 1
	})
	old.Close()
	pay("p-2", "20")
	pay("p-2", "20")
	pay("p-3", "3")
	must(t, during(t, func(ctx context.Context) error { return kafkaAfter(ctx, in, address) }, func() bool {
		return in.Stats().Outcomes[hapax.Executed] == 2 && in.Stats().Outcomes[hapax.Replayed] == 1
	}))
	if cents() != 123 {
		t.Errorf("%d cents, want 123", cents())
	}
}

func TestMigrationFromNATS(t *testing.T) {
	t.Parallel()
	conn, err := client.Connect(servertest.NATS(t))
	must(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	must(t, err)
	stream := own("PAYMENTS")
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: stream, Subjects: []string{stream}, Duplicates: 100 * time.Millisecond})
	must(t, err)
	t.Cleanup(func() {
		if err := js.DeleteStream(context.Background(), stream); err != nil {
			t.Error(err)
		}
	})
	pay := func(id, cents string) {
		m := &client.Msg{Subject: stream, Data: []byte(cents), Header: client.Header{"Nats-Msg-Id": {id}}}
		for ack := (&jetstream.PubAck{Duplicate: true}); ack.Duplicate; { // until the stream's own window is over
			var err error
			ack, err = js.PublishMsg(t.Context(), m)
			must(t, err)
		}
	}
	db, in, cents := account(t, "header:Nats-Msg-Id")
	from, err := js.CreateOrUpdateConsumer(t.Context(), stream, jetstream.ConsumerConfig{Durable: "booking"})
	must(t, err)
	pay("p-1", "100")
	old, err := natsBefore(from, db)
	must(t, err)
	acknowledged := func(context.Context) error {
		old.Drain()
		<-old.Closed()
		return nil
	}
	settled := func() bool {
		info, err := from.Info(t.Context())
		must(t, err)
		return info.NumPending == 0 && info.NumAckPending == 0
	}
	must(t, during(t, func(ctx context.Context) error { <-ctx.Done(); return acknowledged(ctx) }, func() bool {
		return cents() == 100 && settled()
	}))
	pay("p-2", "20")
	pay("p-2", "20")
	pay("p-3", "3")
	must(t, during(t, func(ctx context.Context) error { return natsAfter(ctx, in, from) }, settled))
	if cents() != 123 {
		t.Errorf("%d cents, want 123", cents())
	}
}
