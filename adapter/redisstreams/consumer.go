package redisstreams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/intake"
)

const (
	block    = 500 * time.Millisecond // of a question for new entries; the client notices its end only
	lull     = 250 * time.Millisecond // before the server is asked again, after it could not be
	settling = 10 * time.Second       // bounds one settlement
	seldom   = 5 * time.Second        // between questions for entries that are idle, at most
)

// Inbox takes in messages: an [inbox.Inbox] or [inbox.TxInbox].
type Inbox interface {
	Handle(ctx context.Context, m *hapax.Message) (hapax.Result, error)
}

// Consumer takes messages from a stream to an inbox, as one consumer of a group.
type Consumer struct {
	group

	inbox  Inbox
	limit  intake.Options
	random bool // the consumer's name

	mu     sync.Mutex
	taken  map[string]*delivery // not settled, by their ids
	due    time.Time            // when to look for entries that are idle
	cursor string               // where to look on
}

// New asks the servers behind a client what they keep, refuses them if that is less than
// o asks for, and makes a consumer. The client stays the caller's.
func New(ctx context.Context, client redis.UniversalClient, in Inbox, o Options) (*Consumer, error) {
	if client == nil || in == nil {
		return nil, errors.New("redisstreams: want a client and an inbox")
	}
	random := o.Consumer == ""
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("redisstreams: %w", err)
	}
	limit, err := o.limits()
	if err != nil {
		return nil, fmt.Errorf("redisstreams: %w", err)
	}
	p, err := o.examine(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("redisstreams: %w", err)
	}
	limit.Logger.Info("redisstreams: ready", "stream", o.Stream, "group", o.Group, "consumer", o.Consumer,
		"min idle", o.MinIdle.String(), "maxmemory-policy", p.Policy, "appendfsync", p.Fsync, "durable", p.Durable)
	return &Consumer{
		group: group{client: client, o: o, scripts: newScripts()},
		inbox: in, limit: limit, random: random, taken: make(map[string]*delivery), cursor: start,
	}, nil
}

// start is where to begin to look for entries that are idle, and what the server says
// when it has looked at all.
const start = "0-0"

// Run takes messages until ctx ends, and returns nil then; or the error that ended it:
// the stream or its group is not there, or the client is closed. While the server
// cannot be asked Run waits. When Run returns no handler runs. It may be called again,
// but not while it runs.
func (c *Consumer) Run(ctx context.Context) error {
	k := intake.Begin(ctx, c.inbox, c.limit)
	renewed := make(chan struct{})
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(renewed)
		c.renew(renewing)
	}()
	defer c.leave(ctx)
	defer func() { stop(); <-renewed }()
	defer k.End()
	for {
		n, err := k.Reserve(c.limit.Prefetch)
		if err != nil {
			return nil // the run has ended, as it was told to
		}
		taken, err := c.take(ctx, k, n)
		k.Release(n - taken)
		if err == nil || ctx.Err() != nil {
			continue
		}
		if gone(err) {
			return fmt.Errorf("redisstreams: read %q: %w", c.o.Stream, err)
		}
		c.limit.Logger.Warn("redisstreams: entries could not be read", "stream", c.o.Stream, "error", err)
		intake.Wait(ctx, lull)
	}
}

// gone tells whether there is no use in asking again.
func gone(err error) bool {
	return errors.Is(err, redis.ErrClosed) || redis.HasErrorPrefix(err, "NOGROUP") || redis.HasErrorPrefix(err, "WRONGTYPE")
}

// take takes up to n entries, first those that others have left.
func (c *Consumer) take(ctx context.Context, k *intake.Intake, n int) (taken int, err error) {
	wait := c.untilDue()
	if wait <= 0 {
		c.look(min(max(c.o.MinIdle/4, shortestIdle), seldom))
		if taken, err = c.claim(ctx, k, n); err != nil || taken == n {
			return taken, err
		}
		wait = c.untilDue()
	}
	streams, err := c.client.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: c.o.Group, Consumer: c.o.Consumer, Streams: []string{c.o.Stream, ">"}, Count: int64(n - taken),
		Block: max(min(block, wait), time.Millisecond),
	}).Result()
	if errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "UNBLOCKED") { // the next question tells why
		return taken, nil
	}
	if err != nil {
		return taken, err
	}
	for _, s := range streams {
		for _, x := range s.Messages {
			c.begin(ctx, k, x, 1)
			taken++
		}
	}
	return taken, nil
}

// claim takes up to n entries of which nobody has said for a while that they are at
// work on them.
func (c *Consumer) claim(ctx context.Context, k *intake.Intake, n int) (taken int, err error) {
	entries, next, deleted, err := c.client.XAutoClaimWithDeleted(ctx, &redis.XAutoClaimArgs{
		Stream: c.o.Stream, Group: c.o.Group, Consumer: c.o.Consumer, MinIdle: c.o.MinIdle, Start: c.cursor, Count: int64(n),
	}).Result()
	if err != nil {
		return 0, err
	}
	if c.cursor = next; next != start { // there may be more
		c.lookSooner(0)
	}
	deleted = slices.DeleteFunc(deleted, c.has)
	if len(deleted) > 0 {
		c.limit.Logger.Error("redisstreams: entries were deleted before they were acknowledged: unless another consumer has them, they are lost",
			"stream", c.o.Stream, "group", c.o.Group, "ids", deleted)
	}
	entries = slices.DeleteFunc(entries, func(x redis.XMessage) bool { return c.has(x.ID) })
	counts, err := c.counts(ctx, entries)
	if err != nil {
		return 0, err
	}
	for i, x := range entries {
		if most := int64(c.o.Attempts); most > 0 && counts[i] > most {
			if err := c.giveUp(ctx, x, counts[i]-1); err != nil {
				return taken, err
			}
			continue
		}
		c.begin(ctx, k, x, counts[i])
		taken++
	}
	return taken, nil
}

// giveUp puts an entry to the dead letters whose consumers have died by it, or given
// it back as failed, too often.
func (c *Consumer) giveUp(ctx context.Context, x redis.XMessage, deliveries int64) error {
	why := fmt.Errorf("%d deliveries, none of which was acknowledged", deliveries)
	c.limit.Logger.Warn("redisstreams: message goes to the dead letters", "stream", c.o.Stream, "id", x.ID, "error", why)
	return c.settle(ctx, x, inbox.Settlement{Action: inbox.DeadLetter}, why)
}

// counts asks how often entries were delivered, if that matters.
func (c *Consumer) counts(ctx context.Context, entries []redis.XMessage) ([]int64, error) {
	counts := make([]int64, len(entries))
	if c.o.Attempts == 0 || len(entries) == 0 {
		return counts, nil
	}
	asked := make([]*redis.XPendingExtCmd, len(entries))
	_, err := c.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, x := range entries {
			asked[i] = p.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: c.o.Stream, Group: c.o.Group, Start: x.ID, End: x.ID, Count: 1})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask how often they were delivered: %w", err)
	}
	for i := range asked {
		if p := asked[i].Val(); len(p) > 0 {
			counts[i] = p[0].RetryCount
		}
	}
	return counts, nil
}

// begin hands an entry to the intake.
func (c *Consumer) begin(ctx context.Context, k *intake.Intake, x redis.XMessage, count int64) {
	d := &delivery{c: c, ctx: context.WithoutCancel(ctx), entry: x, count: count}
	c.mu.Lock()
	c.taken[x.ID] = d
	c.mu.Unlock()
	k.Take(ctx, d)
}

func (c *Consumer) has(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken[id] != nil
}

func (c *Consumer) untilDue() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Until(c.due)
}

// look says when to look for entries that are idle.
func (c *Consumer) look(after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due = time.Now().Add(after)
}

func (c *Consumer) lookSooner(after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := time.Now().Add(after); at.Before(c.due) {
		c.due = at
	}
}

// renew tells the server that this consumer is at work, three times in MinIdle.
func (c *Consumer) renew(ctx context.Context) {
	tick := time.NewTicker(c.o.MinIdle / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.renewAll(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (c *Consumer) renewAll(ctx context.Context) {
	args := []any{c.o.Group, c.o.Consumer}
	c.mu.Lock()
	for id := range c.taken {
		args = append(args, id)
	}
	c.mu.Unlock()
	if len(args) == 2 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	answer, err := c.scripts.renew.Run(ctx, c.client, []string{c.o.Stream}, args...).Slice()
	if err != nil || len(answer) != 2 {
		c.limit.Logger.Warn("redisstreams: could not tell that messages are in progress: they may come again", "error", err)
		return
	}
	if lost := c.drop(answer[0]); len(lost) > 0 {
		c.limit.Logger.Info("redisstreams: others have taken entries, or acknowledged them", "stream", c.o.Stream, "ids", lost)
	}
	if deleted := c.drop(answer[1]); len(deleted) > 0 {
		c.limit.Logger.Warn("redisstreams: entries were deleted before they were settled", "stream", c.o.Stream, "ids", deleted)
	}
}

// drop has entries renewed no more, and tells which were not settled by now.
func (c *Consumer) drop(ids any) (dropped []string) {
	list, _ := ids.([]any)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range list {
		if text, _ := id.(string); c.taken[text] != nil {
			delete(c.taken, text)
			dropped = append(dropped, text)
		}
	}
	return dropped
}

// leave takes a consumer whose name nobody will use again out of the group.
func (c *Consumer) leave(ctx context.Context) {
	if !c.random {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settling)
	defer cancel()
	if err := c.scripts.leave.Run(ctx, c.client, []string{c.o.Stream}, c.o.Group, c.o.Consumer).Err(); err != nil {
		c.limit.Logger.Warn("redisstreams: could not leave the group", "group", c.o.Group, "consumer", c.o.Consumer, "error", err)
	}
}

// delivery is an entry that is taken.
type delivery struct {
	c     *Consumer
	ctx   context.Context // for settlements
	entry redis.XMessage
	count int64 // of deliveries that count; 0 if that does not matter
}

func (d *delivery) Message() *hapax.Message { return Message(d.c.o.Stream, d.c.o.Payload, d.entry) }

func (d *delivery) Ack() error { return d.settle(inbox.Settlement{Action: inbox.Ack}, nil) }

func (d *delivery) Dead(why error) error {
	return d.settle(inbox.Settlement{Action: inbox.DeadLetter}, why)
}

func (d *delivery) Back(ctx context.Context, s inbox.Settlement, why error) error {
	if most := int64(d.c.o.Attempts); s.Failed && most > 0 && d.count >= most {
		return d.Dead(why)
	}
	if s.After > d.c.o.MinIdle { // the server can't wait longer by itself
		intake.Wait(ctx, s.After-d.c.o.MinIdle)
		s.After = d.c.o.MinIdle
	}
	err := d.settle(s, why)
	d.c.lookSooner(s.After)
	return err
}

func (d *delivery) settle(s inbox.Settlement, why error) error {
	ctx, cancel := context.WithTimeout(d.ctx, settling)
	defer cancel()
	d.finish()
	return d.c.group.settle(ctx, d.entry, s, why)
}

// finish has d renewed no more.
func (d *delivery) finish() {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	if d.c.taken[d.entry.ID] == d {
		delete(d.c.taken, d.entry.ID)
	}
}
