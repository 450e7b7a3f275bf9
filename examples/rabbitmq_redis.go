package examples

import (
	"context"
	"log/slog"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/rabbitmq"
	"github.com/hapaxmq/hapax/adapter/redisdb"
	"github.com/hapaxmq/hapax/inbox"
)

// RabbitMQWithRedis orders a parcel for each message of a queue, each message-id once,
// until ctx ends or the connection is lost. Claims are in Redis, so it may run in several
// processes. If one dies after the parcel was ordered and before that is noted, it
// is ordered again: with the same reference, by which the carrier knows it.
func RabbitMQWithRedis(ctx context.Context, conn *amqp.Connection, client redis.UniversalClient, queue string,
	parcel func(ctx context.Context, reference string, order []byte) error,
) error {
	seen, err := redisdb.Open(ctx, client, redisdb.Options{Window: 7 * 24 * time.Hour, Durable: true})
	if err != nil {
		return err // such as a Redis that may forget what it is told
	}
	orders, err := inbox.Lease(seen, inbox.Options{
		Name:     "parcels",
		Identity: "header:message-id",
		Window:   7 * 24 * time.Hour,
		Lease:    30 * time.Second, // how long copies wait if a process dies
		Logger:   slog.Default(),
	}, func(ctx context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
		return nil, parcel(ctx, inbox.ChildID(ctx, "parcel"), m.Value)
	})
	if err != nil {
		return err
	}
	defer func() { _ = orders.Close() }() // has no errors
	consumer, err := rabbitmq.New(conn, orders, rabbitmq.Options{Queue: queue})
	if err != nil {
		return err
	}
	return consumer.Run(ctx)
}
