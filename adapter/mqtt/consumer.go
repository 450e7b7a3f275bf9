package mqtt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/intake"
)

// How long to wait before connecting again: longer each time, until a connection lasts.
const (
	shortestLull = 100 * time.Millisecond
	longestLull  = 10 * time.Second
)

// Inbox takes in messages: an [inbox.Inbox] or [inbox.TxInbox].
type Inbox interface {
	Handle(ctx context.Context, m *hapax.Message) (hapax.Result, error)
}

// Consumer takes messages from the session of one client to an inbox.
type Consumer struct {
	inbox Inbox
	o     Options
	limit intake.Options
}

// New makes a consumer, which does nothing until [Consumer.Run].
func New(in Inbox, o Options) (*Consumer, error) {
	if in == nil {
		return nil, errors.New("mqtt: want an inbox")
	}
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	limit, err := o.limits()
	if err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	return &Consumer{inbox: in, o: o, limit: limit}, nil
}

// Run connects, and takes messages until ctx ends, and returns nil then; or the error
// that ended it: [ErrTakenOver], or a [RefusedError]. A connection that is lost is made
// anew, and so is one that could not be made. When Run returns no handler runs, all that
// is done is acknowledged, and the session is left as it is. It may be called again, but
// not while it runs.
func (c *Consumer) Run(ctx context.Context) error {
	k := intake.Begin(ctx, c.inbox, c.limit)
	defer k.End()
	lull, before := shortestLull, false
	for {
		l, err := c.connect(ctx)
		if err == nil {
			if before && !l.resumed {
				c.limit.Logger.Error("mqtt: the broker has lost the session: what it held, and what was published meanwhile, is lost",
					"client", c.o.Connect.ClientID)
			}
			before = true
			since := time.Now()
			err = l.take(ctx, k)
			l.close()
			if time.Since(since) > longestLull { // two clients of one id would be too quick for each other
				lull = shortestLull
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if ends(err) {
			return fmt.Errorf("mqtt: %w", err)
		}
		c.limit.Logger.Warn("mqtt: no connection", "client", c.o.Connect.ClientID, "again in", lull.String(), "error", err)
		if !intake.Wait(ctx, lull) {
			return nil
		}
		lull = min(2*lull, longestLull)
	}
}
