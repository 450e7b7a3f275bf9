package nats_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/nats"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/inbox"
)

// orders makes the inbox of a handler that writes orders into SQLite.
func orders(ctx context.Context, db *sql.DB) (*inbox.TxInbox[*sql.Tx], error) {
	marks, err := sqldb.ByID(db, sqldb.SQLite, sqldb.Options{})
	if err != nil {
		return nil, err
	}
	if err := marks.Migrate(ctx); err != nil {
		return nil, err
	}
	o := inbox.Options{Name: "orders", Identity: "header:Nats-Msg-Id", Window: 7 * 24 * time.Hour}
	return inbox.Transaction(marks, o, func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
		_, err := tx.ExecContext(ctx, "INSERT INTO orders (text) VALUES (?)", string(m.Value))
		return nil, err
	})
}

// durable is the pull consumer of a stream.
func durable(ctx context.Context) (jetstream.Consumer, error) {
	conn, err := client.Connect("nats://localhost")
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	return js.CreateOrUpdateConsumer(ctx, "orders", jetstream.ConsumerConfig{Durable: "orders"})
}

// Consume a stream into a database, once for each Nats-Msg-Id.
func Example() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "orders.db")
	if err != nil {
		log.Fatal(err)
	}
	in, err := orders(ctx, db)
	if err != nil {
		log.Fatal(err)
	}
	from, err := durable(ctx)
	if err != nil {
		log.Fatal(err)
	}
	consumer, err := nats.New(from, in, nats.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := consumer.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

// consumeOne is the body of a plain loop over the messages of a consumer.
func consumeOne(ctx context.Context, in nats.Inbox, msg jetstream.Msg) error {
	r, err := in.Handle(ctx, nats.Message(msg))
	s := inbox.Settle(r, err)
	if s.Action != inbox.Ack {
		fmt.Println(s.Action, err)
	}
	if err := nats.Settle(msg, s, err); err != nil {
		return err
	}
	if s.Action == inbox.Stop {
		<-time.After(s.After) // no other message is taken meanwhile
	}
	return nil
}

// Keep a consumer loop, and put the inbox in front of its handler.
func ExampleSettle() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "orders.db")
	if err != nil {
		log.Fatal(err)
	}
	in, err := orders(ctx, db)
	if err != nil {
		log.Fatal(err)
	}
	from, err := durable(ctx)
	if err != nil {
		log.Fatal(err)
	}
	messages, err := from.Messages(jetstream.PullMaxMessages(1)) // what waits in memory uses up its ack wait
	if err != nil {
		log.Fatal(err)
	}
	for {
		msg, err := messages.Next()
		if err != nil {
			log.Fatal(err)
		}
		if err := consumeOne(ctx, in, msg); err != nil {
			log.Fatal(err)
		}
	}
}
