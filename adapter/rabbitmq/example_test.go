package rabbitmq_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/rabbitmq"
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
	o := inbox.Options{Name: "orders", Identity: "header:message-id", Window: 7 * 24 * time.Hour}
	return inbox.Transaction(marks, o, func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
		_, err := tx.ExecContext(ctx, "INSERT INTO orders (text) VALUES (?)", string(m.Value))
		return nil, err
	})
}

// Consume a queue into a database, once for each message-id.
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
	for { // each turn is a connection
		conn, err := amqp.Dial("amqp://guest:guest@localhost/")
		if err != nil {
			log.Fatal(err) // or wait, and dial again
		}
		consumer, err := rabbitmq.New(conn, in, rabbitmq.Options{Queue: "orders"})
		if err != nil {
			log.Fatal(err)
		}
		if err := consumer.Run(ctx); err == nil {
			return // ctx has ended
		}
	}
}

// consumeOne is the body of a plain loop over the deliveries of a queue.
func consumeOne(ctx context.Context, in rabbitmq.Inbox, d *amqp.Delivery) error {
	r, err := in.Handle(ctx, rabbitmq.Message(d))
	s := inbox.Settle(r, err)
	if s.Action != inbox.Ack {
		fmt.Println(s.Action, err)
		<-time.After(s.After) // no other delivery is taken meanwhile
	}
	return rabbitmq.Settle(d, s)
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
	conn, err := amqp.Dial("amqp://guest:guest@localhost/")
	if err != nil {
		log.Fatal(err)
	}
	ch, err := conn.Channel()
	if err != nil {
		log.Fatal(err)
	}
	deliveries, err := ch.Consume("orders", "", false, false, false, false, nil)
	if err != nil {
		log.Fatal(err)
	}
	for d := range deliveries {
		if err := consumeOne(ctx, in, &d); err != nil {
			log.Fatal(err) // the channel is lost: what is not settled comes again
		}
	}
}
