package examples

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/adapter/kafkarelay"
	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// ConfirmPayment books a payment and has it published, both or neither. The tables are
// those that out.Migrate makes and
//
//	CREATE TABLE payment (id text PRIMARY KEY, account text NOT NULL, cents bigint NOT NULL)
func ConfirmPayment(ctx context.Context, pool *pgxpool.Pool, out *pgxdb.Outbox, id string, p Payment) error {
	message, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO payment VALUES ($1, $2, $3)", id, p.Account, p.Cents); err != nil {
			return err
		}
		return out.Put(ctx, tx, outbox.Record{ID: id, Topic: "payments", OrderKey: p.Account, Payload: message})
	})
}

// PublishPayments publishes into Kafka what was put, each record once for who reads
// committed, until ctx ends. It may be killed at any moment, and run in several processes.
func PublishPayments(ctx context.Context, out *pgxdb.Outbox, brokers []string) error {
	to, err := kafkarelay.New(kafkarelay.Options{IDHeader: "payment-id"}, kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	payments, err := relay.New(out.Records(), to, relay.Options{Logger: slog.Default()})
	if err != nil {
		return err
	}
	return payments.Run(ctx)
}
