package examples

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/kafka"
	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/inbox"
)

// Payment is what a message of the topic "payments" says.
type Payment struct {
	Account string `json:"account"`
	Cents   int64  `json:"cents"`
}

// KafkaToPostgres books the payments of a topic of Kafka in PostgreSQL, each
// payment-id once, until ctx ends. It may be killed at any moment, and run in several
// processes.
func KafkaToPostgres(ctx context.Context, brokers []string, pool *pgxpool.Pool) error {
	marks, err := pgxdb.ByID(pool, pgxdb.Options{})
	if err != nil {
		return err
	}
	if err := marks.Migrate(ctx); err != nil { // or run the files of pgxdb.Schema by your own tool
		return err
	}
	payments, err := inbox.Transaction(marks, inbox.Options{
		Name:       "booking",
		Identity:   "header:payment-id",
		Window:     30 * 24 * time.Hour,
		Redelivery: 7 * 24 * time.Hour, // the topic's retention.ms
		Logger:     slog.Default(),
	}, book)
	if err != nil {
		return err
	}
	defer func() { _ = payments.Close() }() // has no errors
	consumer, err := kafka.New(payments, kafka.Options{
		Group: "booking", Topics: []string{"payments"}, DeadLetters: "payments.dead", Attempts: 10,
	}, kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	return consumer.Run(ctx)
}

// book changes the account in the transaction that marks the message.
func book(ctx context.Context, tx pgx.Tx, m *hapax.Message) (hapax.Receipt, error) {
	var p Payment
	if err := json.Unmarshal(m.Value, &p); err != nil {
		return nil, inbox.Permanent(err) // to the dead letters at once
	}
	done, err := tx.Exec(ctx, "UPDATE account SET cents = cents + $1 WHERE name = $2", p.Cents, p.Account)
	if err == nil && done.RowsAffected() == 0 {
		err = inbox.Permanent(fmt.Errorf("no account %q", p.Account))
	}
	return nil, err
}

// ForgetPayments takes marks away whose window is over. Run it once an hour, in any
// number of processes.
func ForgetPayments(ctx context.Context, pool *pgxpool.Pool) error {
	marks, err := pgxdb.ByID(pool, pgxdb.Options{})
	if err != nil {
		return err
	}
	_, err = marks.Sweep(ctx, 30*24*time.Hour)
	return err
}
