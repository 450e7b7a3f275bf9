package memcached

import (
	"context"
	"errors"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/claimrecord"
)

var _ hapax.Operator = (*Ledger)(nil)

// Look is [hapax.Operator]. It is one round trip.
func (l *Ledger) Look(ctx context.Context, s hapax.Scope, id hapax.Identity) (hapax.Claim, error) {
	c := hapax.Claim{Key: identity.SharedKey(s, id), Verdict: hapax.Fresh}
	c.Fingerprint = hapax.Fingerprint(c.Key[:len(c.Fingerprint)])
	if err := l.refuse(ctx); err != nil {
		return c, err
	}
	_, r, err := l.get(claimrecord.Key(l.o.Prefix, c.Key))
	if errors.Is(err, memcache.ErrCacheMiss) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	if c, taken := verdict(c, r, l.o.Clock()); taken {
		c.Digest, c.Token = r.Digest, r.Token
		return c, nil
	}
	return c, nil
}

// Expire is [hapax.Operator]. It is two round trips. The token is remembered, so that the
// next one is higher.
func (l *Ledger) Expire(ctx context.Context, s hapax.Scope, id hapax.Identity) (was bool, err error) {
	err = l.rewrite(ctx, identity.SharedKey(s, id), func(r *claimrecord.Record) (time.Duration, error) {
		_, was = verdict(hapax.Claim{}, *r, l.o.Clock())
		if !was {
			return 0, nil
		}
		*r = claimrecord.Record{State: claimrecord.Released, Token: r.Token}
		return l.o.TokenMemory, nil
	})
	if errors.Is(err, hapax.ErrLeaseLost) { // it went, or was not there
		return false, nil
	}
	return was, err
}
