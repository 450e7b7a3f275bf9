package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/intake"
)

// defaultAckWait is the server's, for a consumer that says none.
const defaultAckWait = 30 * time.Second

// lull is how long to wait before the server is asked for messages again, after it
// could not be.
const lull = 250 * time.Millisecond

// Inbox takes in messages: an [inbox.Inbox] or [inbox.TxInbox].
type Inbox interface {
	Handle(ctx context.Context, m *hapax.Message) (hapax.Result, error)
}

// Options are those of a [Consumer]. The zero value is good.
type Options struct {
	// Prefetch is how many messages are taken and not settled: handled, waiting for a
	// handler, or held until they come again (default: 64). The consumer's MaxAckPending
	// bounds the same for all who share it.
	Prefetch int
	// Handlers is how many messages are handled at once (default: 16, or Prefetch if
	// that is less).
	Handlers int
	// Hold is how long a message that has to come again is held at most, then it is
	// given back (default: 10 min).
	Hold time.Duration
	// Drain is how long handlers may go on once the context of Run has ended; then
	// theirs ends too (default: 30 s).
	Drain  time.Duration
	Logger *slog.Logger // default: silent
}

// Consumer takes messages from a pull consumer of JetStream to an inbox.
type Consumer struct {
	from  jetstream.Consumer
	inbox Inbox
	limit intake.Options
	beat  time.Duration // of telling the server that a message is in progress
}

// New makes a consumer of messages from a pull consumer, which must acknowledge each of
// them on its own ([jetstream.AckExplicitPolicy]).
func New(from jetstream.Consumer, in Inbox, o Options) (*Consumer, error) {
	if from == nil || in == nil {
		return nil, errors.New("nats: want a consumer and an inbox")
	}
	info := from.CachedInfo()
	if info == nil {
		return nil, errors.New("nats: the consumer's settings are not known: get it from its stream, by name")
	}
	if p := info.Config.AckPolicy; p != jetstream.AckExplicitPolicy {
		return nil, fmt.Errorf("nats: consumer %q acknowledges by %v: want AckExplicit", info.Name, p)
	}
	limit, err := intake.Options{Prefetch: o.Prefetch, Handlers: o.Handlers, Hold: o.Hold, Drain: o.Drain, Logger: o.Logger}.WithDefaults()
	if err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	return &Consumer{from: from, inbox: in, limit: limit, beat: beat(info.Config)}, nil
}

// beat is a third of the shortest time that the server waits for an acknowledgement.
func beat(c jetstream.ConsumerConfig) time.Duration {
	wait := c.AckWait
	if wait <= 0 {
		wait = defaultAckWait
	}
	for _, w := range c.BackOff { // which the server takes instead
		wait = min(wait, w)
	}
	return max(wait/3, time.Millisecond)
}

// Run takes messages until ctx ends, and returns nil then; or the error that ended it:
// the consumer or its stream is not there, or the connection was closed. One that is
// lost is the client's to renew; meanwhile Run waits. When Run returns no handler runs.
func (c *Consumer) Run(ctx context.Context) error {
	k := intake.Begin(ctx, c.inbox, c.limit)
	defer k.End()
	for {
		n, err := k.Reserve(c.limit.Prefetch)
		if err != nil {
			return nil // the run has ended, as it was told to
		}
		taken, err := c.fetch(ctx, k, n)
		k.Release(n - taken)
		if err == nil || ctx.Err() != nil {
			continue
		}
		if err := c.gone(ctx, err); err != nil {
			return fmt.Errorf("nats: fetch messages: %w", err)
		}
		c.limit.Logger.Warn("messages could not be fetched", "error", err)
		intake.Wait(ctx, lull)
	}
}

// fetch takes up to n messages, as they come.
func (c *Consumer) fetch(ctx context.Context, k *intake.Intake, n int) (taken int, err error) {
	batch, err := c.from.Fetch(n, jetstream.FetchContext(ctx))
	if err != nil {
		return 0, err
	}
	for msg := range batch.Messages() {
		k.Take(ctx, c.deliver(msg))
		taken++
	}
	return taken, batch.Error()
}

// gone returns err if there is no use in asking again.
func (c *Consumer) gone(ctx context.Context, err error) error {
	_, lost := c.from.Info(ctx)
	for _, end := range []error{jetstream.ErrConsumerNotFound, jetstream.ErrStreamNotFound, client.ErrConnectionClosed} {
		if errors.Is(lost, end) {
			return errors.Join(err, end)
		}
	}
	return nil
}

// delivery is a message that is in progress until it is settled.
type delivery struct {
	jetstream.Msg

	settled chan struct{}
	beating sync.WaitGroup
}

// deliver begins to tell the server that a message is in progress.
func (c *Consumer) deliver(msg jetstream.Msg) *delivery {
	d := &delivery{Msg: msg, settled: make(chan struct{})}
	d.beating.Go(func() {
		tick := time.NewTicker(c.beat)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if err := msg.InProgress(); err != nil {
					c.limit.Logger.Warn("could not tell that a message is in progress: it may come again", "error", err)
				}
			case <-d.settled:
				return
			}
		}
	})
	return d
}

func (d *delivery) Message() *hapax.Message { return Message(d.Msg) }

func (d *delivery) Ack() error { return d.settle(inbox.Settlement{Action: inbox.Ack}, nil) }

func (d *delivery) Back(_ context.Context, s inbox.Settlement, why error) error {
	return d.settle(s, why)
}

func (d *delivery) Dead(why error) error {
	return d.settle(inbox.Settlement{Action: inbox.DeadLetter}, why)
}

func (d *delivery) settle(s inbox.Settlement, why error) error {
	close(d.settled)
	d.beating.Wait()
	return Settle(d.Msg, s, why)
}
