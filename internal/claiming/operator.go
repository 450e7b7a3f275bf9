package claiming

import (
	"context"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/marking"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

// Look tells what is known of a message, and changes nothing.
func (l *Ledger) Look(ctx context.Context, s hapax.Scope, id hapax.Identity) (hapax.Claim, error) {
	c := named(hapax.Request{Scope: s, Identity: id})
	if err := l.refuse(ctx); err != nil {
		return c, err
	}
	q := &question{claim: &c, asks: sqltext.Claim{ID: c.Key[:]}}
	if err := l.insist(ctx, func() error { return l.look(ctx, []*question{q}) }); err != nil {
		return c, failure(err)
	}
	r := q.known
	c.Digest, c.Token = hapax.Digest(r.digest), uint64(r.token)
	switch r.state {
	case sqltext.Committed:
		c.Verdict, c.Receipt = hapax.Duplicate, r.receipt
	case sqltext.Claimed:
		c.Verdict, c.Deadline = hapax.InFlight, time.UnixMicro(r.ends)
	default:
		c.Verdict = hapax.Fresh
	}
	return c, nil
}

// Expire lets a message go, and tells whether it was there. Its row remembers the token.
func (l *Ledger) Expire(ctx context.Context, s hapax.Scope, id hapax.Identity) (bool, error) {
	if err := l.refuse(ctx); err != nil {
		return false, err
	}
	c := named(hapax.Request{Scope: s, Identity: id})
	statement, args := sqltext.Expire(l.db.Dialect, l.o.Table, c.Key[:])
	var done marking.Done
	err := l.insist(ctx, func() error {
		return l.write(ctx, func() (err error) {
			done, err = l.db.Any.Exec(ctx, statement, args...)
			return err
		})
	})
	if err != nil {
		return false, failure(err)
	}
	return done.Rows > 0, nil
}
