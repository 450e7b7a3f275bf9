package redisstreams_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/redisstreams"
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
	o := inbox.Options{Name: "orders", Identity: "header:id", Window: 7 * 24 * time.Hour}
	return inbox.Transaction(marks, o, func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
		_, err := tx.ExecContext(ctx, "INSERT INTO orders (text) VALUES (?)", string(m.Value))
		return nil, err
	})
}

// Consume a stream into a database, once for each value of the field id:
//
//	XADD orders * id 17 payload "two of the blue ones"
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
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	err = client.XGroupCreateMkStream(ctx, "orders", "booking", "0").Err()
	if err != nil && !redis.HasErrorPrefix(err, "BUSYGROUP") { // it is there
		log.Fatal(err)
	}
	consumer, err := redisstreams.New(ctx, client, in, redisstreams.Options{
		Stream: "orders", Group: "booking", DeadLetters: "orders-dead", Attempts: 10,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := consumer.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

// consumeSome is the body of a plain loop: it takes what others have left, and what is
// new.
func consumeSome(ctx context.Context, client redis.UniversalClient, in redisstreams.Inbox, o redisstreams.Options) error {
	entries, _, err := client.XAutoClaim(ctx, &redis.XAutoClaimArgs{
		Stream: o.Stream, Group: o.Group, Consumer: o.Consumer, MinIdle: o.MinIdle, Start: "-", Count: 10,
	}).Result()
	if err != nil {
		return err
	}
	streams, err := client.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: o.Group, Consumer: o.Consumer, Streams: []string{o.Stream, ">"}, Count: 10, Block: 500 * time.Millisecond,
	}).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	for _, s := range streams {
		entries = append(entries, s.Messages...)
	}
	for _, x := range entries {
		r, err := in.Handle(ctx, redisstreams.Message(o.Stream, "payload", x))
		s := inbox.Settle(r, err)
		if s.Action != inbox.Ack {
			fmt.Println(s.Action, err)
		}
		if err := redisstreams.Settle(ctx, client, o, x, s, err); err != nil {
			return err
		}
		if s.Action == inbox.Stop {
			<-time.After(s.After) // no other message is taken meanwhile
		}
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
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	o := redisstreams.Options{
		Stream: "orders", Group: "booking", Consumer: "booking-1", DeadLetters: "orders-dead",
		MinIdle: time.Minute, // longer than ten handlers take: nothing keeps these entries from being idle
	}
	for {
		if err := consumeSome(ctx, client, in, o); err != nil {
			log.Fatal(err)
		}
	}
}
