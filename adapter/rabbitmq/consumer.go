package rabbitmq

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/intake"
)

// Inbox takes in messages: an [inbox.Inbox] or [inbox.TxInbox].
type Inbox interface {
	Handle(ctx context.Context, m *hapax.Message) (hapax.Result, error)
}

// Options are those of a [Consumer]. Queue is required; of all others the zero value
// is good.
type Options struct {
	Queue string
	Args  amqp.Table // of basic.consume

	// Prefetch is how many messages are taken and not settled: handled, waiting for a
	// handler, or held until they come again (default: 64, at most 65,535).
	Prefetch int
	// Handlers is how many messages are handled at once (default: 16, or Prefetch if
	// that is less).
	Handlers int
	// Hold is how long a message that has to come again is held at most, then it is
	// given back (default: 10 min). It must be well below the broker's own limit for
	// what is not acknowledged, consumer_timeout, which is 30 min unless it is set: that
	// closes the channel, and all that was taken on it comes again.
	Hold time.Duration
	// Drain is how long handlers may go on once the context of Run has ended; then
	// theirs ends too (default: 30 s).
	Drain  time.Duration
	Logger *slog.Logger // default: silent
}

// Consumer takes messages from a queue to an inbox.
type Consumer struct {
	conn  *amqp.Connection
	inbox Inbox
	o     Options
	limit intake.Options
}

// New makes a consumer over a connection, which stays the caller's. Recovery by the
// client must be off ([amqp.Config].Recovery): it renews a channel under its
// deliveries, whose tags then acknowledge others.
func New(conn *amqp.Connection, in Inbox, o Options) (*Consumer, error) {
	if conn == nil || in == nil || o.Queue == "" {
		return nil, errors.New("rabbitmq: want a connection, an inbox and a queue")
	}
	if conn.Config.Recovery != nil {
		return nil, errors.New("rabbitmq: the connection recovers by itself: dial without Config.Recovery, and call Run again with a new connection")
	}
	limit, err := intake.Options{Prefetch: o.Prefetch, Handlers: o.Handlers, Hold: o.Hold, Drain: o.Drain, Logger: o.Logger}.WithDefaults()
	if err != nil {
		return nil, fmt.Errorf("rabbitmq: %w", err)
	}
	return &Consumer{conn: conn, inbox: in, o: o, limit: limit}, nil
}

// Run takes messages until ctx ends, and returns nil then; or the error that ended it:
// the connection is lost, or the queue is not there. A channel that is lost alone is
// opened anew, such as when the broker closes it over an acknowledgement that it has
// waited for too long. When Run returns no handler runs.
func (c *Consumer) Run(ctx context.Context) error {
	k := intake.Begin(ctx, c.inbox, c.limit)
	defer k.End()
	for {
		err := c.consume(ctx, k)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("rabbitmq: %w", err)
		}
	}
}

// consume takes messages on one channel until it or the run ends. A nil error means
// that another channel may be opened.
func (c *Consumer) consume(ctx context.Context, k *intake.Intake) error {
	ch, err := c.conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	defer func() { _ = ch.Close() }() // what is not settled goes back to the queue
	live, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	go watch(ch.NotifyClose(make(chan *amqp.Error, 1)), ch.NotifyCancel(make(chan string, 1)), lose)
	if err := ch.Qos(c.limit.Prefetch, 0, false); err != nil {
		return fmt.Errorf("set the prefetch to %d: %w", c.limit.Prefetch, err)
	}
	// Not with a context: at its end the client cancels the consumer beside whatever
	// else is asked on the channel, and may take one answer for the other.
	tag := rand.Text()
	deliveries, err := ch.Consume(c.o.Queue, tag, false, false, false, false, c.o.Args)
	if err != nil {
		return fmt.Errorf("consume from %q: %w", c.o.Queue, err)
	}
	if take(ctx, live, k, deliveries) {
		_ = ch.Cancel(tag, false) // if that fails, the channel has too
		k.End()                   // while the channel is there to acknowledge
		return nil
	}
	<-live.Done()
	lost := context.Cause(live)
	if c.conn.IsClosed() {
		return fmt.Errorf("connection is lost: %w", errors.Join(amqp.ErrClosed, lost))
	}
	c.limit.Logger.Warn("channel is lost: what was not acknowledged on it comes again", "queue", c.o.Queue, "error", lost)
	return nil
}

// watch tells when nothing more comes of a channel, and why. What is held of it is let go
// then: it comes again on another.
func watch(closed <-chan *amqp.Error, cancelled <-chan string, lose context.CancelCauseFunc) {
	lost := errors.New("the broker has cancelled the consumer")
	if _, ok := <-cancelled; !ok { // it ends with the channel
		if reason := <-closed; reason != nil {
			lost = reason
		}
	}
	lose(lost)
}

// take takes deliveries of a channel that is live until there are no more, and returns true
// if that is because the run ends.
func take(ctx, live context.Context, k *intake.Intake, deliveries <-chan amqp.Delivery) (ended bool) {
	for {
		if _, err := k.Reserve(1); err != nil {
			return true
		}
		select {
		case d, ok := <-deliveries:
			if !ok {
				k.Release(1)
				return false
			}
			k.Take(live, &delivery{d})
		case <-ctx.Done():
			k.Release(1)
			return true
		}
	}
}

// delivery is a message that was delivered on a channel.
type delivery struct{ amqp.Delivery }

func (d *delivery) Message() *hapax.Message { return Message(&d.Delivery) }

func (d *delivery) Ack() error { return Settle(&d.Delivery, inbox.Settlement{Action: inbox.Ack}) }

func (d *delivery) Back(ctx context.Context, s inbox.Settlement, _ error) error {
	intake.Wait(ctx, s.After)
	return Settle(&d.Delivery, s)
}

func (d *delivery) Dead(error) error {
	return Settle(&d.Delivery, inbox.Settlement{Action: inbox.DeadLetter})
}
