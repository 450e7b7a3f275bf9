package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// ErrRevoked is the cause with which a handler's context ends when its partition goes
// to another member of the group.
var ErrRevoked = errors.New("kafka: partition revoked")

// Inbox takes messages in: an [inbox.Inbox], or an [inbox.TxInbox].
type Inbox interface {
	HandleBatch(ctx context.Context, ms []*hapax.Message) []inbox.Handled
	Skip(m *hapax.Message)
}

// Consumer is a member of a consumer group whose records go to an inbox. All policy
// is the inbox's: the consumer does with a record what [inbox.Settle] says.
type Consumer struct {
	inbox Inbox
	o     Options
	opts  []kgo.Opt

	closing context.Context // ends with Close
	close   context.CancelFunc

	mu      sync.Mutex
	started bool
	ended   chan struct{} // closed when Run is over
}

// New makes a consumer, which does nothing until [Consumer.Run]. Options of franz-go
// say where the brokers are and how to log in; those that have to do with groups,
// commits and rebalances are the consumer's own and overrule what is given here, but
// for the session's and the balancers'. The inbox stays the caller's, to be closed after
// the consumer.
func New(in Inbox, o Options, opts ...kgo.Opt) (*Consumer, error) {
	if in == nil {
		return nil, errors.New("kafka: no inbox")
	}
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	c := &Consumer{inbox: in, o: o, ended: make(chan struct{})}
	c.opts = append([]kgo.Opt{kgo.FetchIsolationLevel(kgo.ReadCommitted())}, opts...)
	c.opts = append(c.opts, kgo.ConsumerGroup(o.Group), kgo.ConsumeTopics(o.Topics...),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(o.Commit), kgo.BlockRebalanceOnPoll())
	if err := kgo.ValidateOpts(c.opts...); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	c.closing, c.close = context.WithCancel(context.Background())
	return c, nil
}

// Run joins the group and handles records until ctx ends or the consumer is closed,
// and then leaves the group: it returns nil. When ctx ends, so do the contexts of
// handlers. It returns an error if a record is a dead letter and there is no topic
// for it, if the inbox is closed, or if a broker gives its topics no ids, as those
// before Kafka 2.8; what is not settled then comes again. Errors of fetching and of the
// group are logged, and it goes on. It can be called once.
func (c *Consumer) Run(ctx context.Context) error {
	c.mu.Lock()
	if c.started {
		c.mu.Unlock()
		return errors.New("kafka: the consumer was run before: make another")
	}
	c.started = true
	c.mu.Unlock()
	defer close(c.ended)

	s := &session{Consumer: c, partitions: make(map[place]*partition)}
	s.ctx, s.fail = context.WithCancelCause(ctx)
	defer s.fail(nil)
	client, err := kgo.NewClient(append(c.opts, kgo.OnPartitionsAssigned(s.assigned),
		kgo.OnPartitionsRevoked(s.revoked), kgo.OnPartitionsLost(s.lost))...)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	polling, stop := context.WithCancel(s.ctx)
	defer stop()
	forget := context.AfterFunc(c.closing, stop)
	defer forget()
	for polling.Err() == nil {
		s.take(client.PollRecords(polling, maxPoll))
		client.AllowRebalance()
	}
	s.drain()
	client.CloseAllowingRebalance()
	if ctx.Err() == nil && s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return nil
}

// Close ends [Consumer.Run] once every partition has done with the records that are in
// the inbox; what is settled is committed, and the member leaves the group. It returns
// when Run is over. Handlers are not cut short: cancel Run's context for that. A
// handler must not call it.
func (c *Consumer) Close() error {
	c.close()
	c.mu.Lock()
	started := c.started
	c.mu.Unlock()
	if started {
		<-c.ended
	}
	return nil
}
