package demo

import (
	"context"
	"database/sql"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/kafka"
	"github.com/hapaxmq/hapax/adapter/kafkarelay"
	"github.com/hapaxmq/hapax/adapter/redisdb"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/ledger"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// once is a service behind the doors of Hapax.
type once struct {
	*service
}

const window = 24 * time.Hour // how late a copy may come

// serve lets each request with a key take effect once.
func (o *once) serve(ctx context.Context, h http.Handler) (http.Handler, error) {
	claims, err := o.ledger(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := httpkey.New(claims, httpkey.Options{
		Name: "gateway", Tenant: httpkey.OneTenant, Window: window, Required: true,
		Lease: o.Lease, Wait: time.Minute, Logger: slog.Default(),
	})
	if err != nil {
		return nil, err
	}
	return keys.Wrap(h), nil
}

// idOf is that of the request's key, so that a request which runs again publishes nothing new.
func (o *once) idOf(ctx context.Context, step string) string { return httpkey.ChildID(ctx, step) }

// ledger is where claims are kept, of work whose effects are in no transaction.
func (o *once) ledger(ctx context.Context) (hapax.Ledger, error) {
	if o.Redis != "" {
		client := redis.NewClient(&redis.Options{Addr: o.Redis, ContextTimeoutEnabled: true})
		return redisdb.Open(ctx, client, redisdb.Options{Window: window, Prefix: o.Prefix})
	}
	return ledger.Open(filepath.Join(o.Dir, o.Column+"-"+o.Part+"-ledger"), ledger.Options{
		Window: hapax.Window{Time: window}, Digests: true, Logger: slog.Default(),
	})
}

// consume hands the messages of a topic to an inbox.
func (o *once) consume(ctx context.Context, c consumer, out outgoing) error {
	in, err := o.inbox(ctx, c, out)
	if err != nil {
		return err
	}
	consumer, err := kafka.New(watched{in, o.service}, kafka.Options{
		Group: o.Prefix + c.name, Topics: []string{o.Prefix + c.topic}, Commit: 100 * time.Millisecond, Logger: slog.Default(),
	}, o.member()...)
	if err != nil {
		return err
	}
	return consumer.Run(ctx)
}

// inbox is the handler's, with the guarantee that it needs.
func (o *once) inbox(ctx context.Context, c consumer, out outgoing) (kafka.Inbox, error) {
	options := inbox.Options{Name: c.name, Identity: "header:id", Window: window, Lease: o.Lease, Logger: slog.Default()}
	switch c.guarantee {
	case inbox.Transacted:
		marks, err := sqldb.ByID(o.db, o.Dialect, sqldb.Options{})
		if err == nil {
			err = marks.Migrate(ctx)
		}
		if err != nil {
			return nil, err
		}
		return inbox.Transaction(marks, options, func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
			return nil, o.handle(ctx, c, work{db: tx, put: func(ctx context.Context, r outbox.Record) error {
				r.ID = inbox.ChildID(ctx, r.Topic)
				return out.put(ctx, tx, r)
			}}, m.Value)
		})
	case inbox.Leased:
		claims, err := o.ledger(ctx)
		if err != nil {
			return nil, err
		}
		return inbox.Lease(claims, options, func(ctx context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
			return nil, o.handle(ctx, c, work{key: inbox.ChildID(ctx, c.name)}, m.Value)
		})
	default:
		return inbox.AtLeastOnce(options, func(ctx context.Context, m *hapax.Message) error {
			return o.handle(ctx, c, work{db: o.db}, m.Value)
		})
	}
}

// outgoing is an outbox in the service's database, and its relay.
func (o *once) outgoing(ctx context.Context) (outgoing, error) {
	out, err := sqldb.NewOutbox(o.db, o.Dialect, sqldb.OutboxOptions{})
	if err != nil {
		return nil, err
	}
	return &relayed{o, out}, out.Migrate(ctx)
}

type relayed struct {
	*once
	outbox *sqldb.Outbox
}

func (r *relayed) put(ctx context.Context, db database, record outbox.Record) error {
	record.Topic = r.Prefix + record.Topic
	return r.outbox.Put(ctx, db.(*sql.Tx), record)
}

func (r *relayed) publish(ctx context.Context) error {
	to, err := kafkarelay.New(kafkarelay.Options{Progress: progressOf(r.Prefix, r.Part), Replicas: 1}, r.kafka()...)
	if err != nil {
		return err
	}
	published, err := relay.New(r.outbox.Records(), watchedRelay{to, r.service}, relay.Options{
		Lease: r.Lease, MaxPoll: 20 * time.Millisecond, Logger: slog.Default(),
	})
	if err != nil {
		return err
	}
	return published.Run(ctx)
}
