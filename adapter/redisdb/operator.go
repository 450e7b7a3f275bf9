package redisdb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/claimrecord"
)

var _ hapax.Operator = (*Ledger)(nil)

// Look is [hapax.Operator]. It is one round trip.
func (l *Ledger) Look(ctx context.Context, s hapax.Scope, id hapax.Identity) (hapax.Claim, error) {
	c := named(hapax.Request{Scope: s, Identity: id})
	if err := l.refuse(ctx); err != nil {
		return c, err
	}
	answers, err := l.scripts.look.Run(ctx, l.client, []string{l.key(c)}).Slice()
	switch {
	case err != nil:
		return c, failure(err)
	case len(answers) != 2:
		return c, fmt.Errorf("%w: look answered %d values", hapax.ErrCorrupt, len(answers))
	}
	c.Verdict = hapax.Fresh
	text, known := answers[0].(string)
	if !known {
		return c, nil
	}
	r, err := claimrecord.Parse([]byte(text))
	if err != nil {
		return c, err
	}
	now, _ := answers[1].(int64)
	c.Token, c.Digest = r.Token, r.Digest
	switch {
	case r.State == claimrecord.Done:
		c.Verdict, c.Receipt = hapax.Duplicate, r.Receipt
	case r.State == claimrecord.Claimed && r.Deadline > now:
		c.Verdict, c.Deadline = hapax.InFlight, time.UnixMicro(r.Deadline)
	}
	return c, nil
}

// Expire is [hapax.Operator]. It is one round trip. The token is remembered, so that the
// next one is higher.
func (l *Ledger) Expire(ctx context.Context, s hapax.Scope, id hapax.Identity) (bool, error) {
	if err := l.refuse(ctx); err != nil {
		return false, err
	}
	key := l.key(named(hapax.Request{Scope: s, Identity: id}))
	was, err := l.scripts.expire.Run(ctx, l.client, []string{key}, millis(l.o.TokenMemory)).Bool()
	if err != nil && !errors.Is(err, redis.Nil) {
		return false, failure(err)
	}
	return was, nil
}
