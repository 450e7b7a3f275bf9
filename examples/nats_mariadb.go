package examples

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/nats"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/inbox"
)

// NATSToMariaDB writes the readings of a stream of JetStream into MariaDB, each
// Nats-Msg-Id once, until ctx ends. The stream's own window of duplicates drops what a
// publisher sends twice within minutes; the inbox drops that and what the server delivers
// again, for a week.
func NATSToMariaDB(ctx context.Context, js jetstream.JetStream, stream string, db *sql.DB) error {
	marks, err := sqldb.ByID(db, sqldb.MariaDB, sqldb.Options{})
	if err != nil {
		return err
	}
	if err := marks.Migrate(ctx); err != nil {
		return err
	}
	readings, err := inbox.Transaction(marks, inbox.Options{
		Name: "readings", Identity: "header:Nats-Msg-Id", Window: 7 * 24 * time.Hour, Logger: slog.Default(),
	}, func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
		_, err := tx.ExecContext(ctx, "INSERT INTO reading (value) VALUES (?)", string(m.Value))
		return nil, err
	})
	if err != nil {
		return err
	}
	defer func() { _ = readings.Close() }() // has no errors
	from, err := js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{Durable: "readings", MaxDeliver: -1})
	if err != nil {
		return err
	}
	consumer, err := nats.New(from, readings, nats.Options{})
	if err != nil {
		return err
	}
	return consumer.Run(ctx)
}
