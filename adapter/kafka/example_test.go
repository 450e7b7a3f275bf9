package kafka_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
	_ "modernc.org/sqlite"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/kafka"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/broker"
	"github.com/hapaxmq/hapax/inbox"
)

// Before, a loop of its own read the topic and booked each payment, and booked it again
// when it came again:
//
//	for {
//		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
//			db.ExecContext(ctx, "UPDATE accounts SET balance = balance + ?", string(r.Value))
//		})
//		client.CommitUncommittedOffsets(ctx)
//	}
//
// Now the body of the loop is the handler of an inbox, in whose transaction it works,
// and the consumer is the loop.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db, err := sql.Open("sqlite", "file:accounts?mode=memory&cache=shared")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE accounts (balance INTEGER); INSERT INTO accounts VALUES (0)"); err != nil {
		log.Fatal(err)
	}
	marks, err := sqldb.ByID(db, sqldb.SQLite, sqldb.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := marks.Migrate(ctx); err != nil {
		log.Fatal(err)
	}

	book := func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
		if string(m.Value) == "end" {
			cancel()
			return nil, nil
		}
		_, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance + ?", string(m.Value))
		return nil, err
	}
	payments, err := inbox.Transaction(marks, inbox.Options{
		Name: "booking", Identity: "header:payment-id", Window: inbox.Forever,
	}, book)
	if err != nil {
		log.Fatal(err)
	}

	address, stop := node()
	defer stop()
	send(ctx, address, [][2]string{{"p1", "100"}, {"p2", "20"}, {"p1", "100"}, {"p1", "100"}, {"p3", "end"}})
	consumer, err := kafka.New(payments, kafka.Options{
		Group: "booking", Topics: []string{"payments"}, DeadLetters: "payments.dead", Attempts: 10,
	}, kgo.SeedBrokers(address))
	if err != nil {
		log.Fatal(err)
	}
	if err := consumer.Run(ctx); err != nil {
		log.Fatal(err)
	}

	var balance int
	if err := db.QueryRow("SELECT balance FROM accounts").Scan(&balance); err != nil {
		log.Fatal(err)
	}
	fmt.Println("balance:", balance, "copies:", payments.Stats().Outcomes[hapax.Replayed])
	// Output: balance: 120 copies: 2
}

// node runs a broker in this process; any other that speaks Kafka's protocol will do.
func node() (address string, stop func()) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	b, err := broker.Open(dir, broker.Options{
		Listeners: []broker.Listener{{Address: "127.0.0.1:0"}},
		Settings:  broker.Settings{"group.initial.rebalance.delay.ms": "0"},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Serve(ctx) }()
	return b.Addresses()[0], func() {
		cancel()
		<-done
		b.Close()
		os.RemoveAll(dir)
	}
}

// send writes payments, each with its id in a header.
func send(ctx context.Context, address string, payments [][2]string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("payments"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for _, p := range payments {
		r := &kgo.Record{Value: []byte(p[1]), Headers: []kgo.RecordHeader{{Key: "payment-id", Value: []byte(p[0])}}}
		if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
			log.Fatal(err)
		}
	}
}
