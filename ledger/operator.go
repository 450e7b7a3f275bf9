package ledger

import (
	"context"
	"fmt"
	"slices"

	"github.com/hapaxmq/hapax"
)

var _ hapax.Operator = (*Ledger)(nil)

// Look is [hapax.Operator]. It reads no log, as [Ledger.Lookup] does; of a Duplicate there
// is no token. What it finds is as durable as a Duplicate of Claim is.
func (l *Ledger) Look(ctx context.Context, s hapax.Scope, id hapax.Identity) (hapax.Claim, error) {
	f, err := operated(ctx, l, s, id)
	if err != nil {
		return hapax.Claim{}, err
	}
	c := hapax.Claim{Fingerprint: f, Verdict: hapax.Fresh}
	found, _, known, err := l.find(f)
	if err != nil || !known {
		return c, err
	}
	c.Verdict, c.Digest, c.Token = found.Verdict, found.Digest, found.Token
	if c.Verdict == hapax.InFlight {
		c.Deadline = found.Expires
		return c, nil
	}
	l.mu.Lock()
	c.Receipt = slices.Clone(l.receipts.get(f))
	l.mu.Unlock()
	if l.journal == nil || l.o.ReadOnly {
		return c, nil
	}
	return c, l.settled(l.journal.wait(l.journal.End()))
}

// Expire is [hapax.Operator], and [Ledger.Forget] by scope and identity.
func (l *Ledger) Expire(ctx context.Context, s hapax.Scope, id hapax.Identity) (bool, error) {
	f, err := operated(ctx, l, s, id)
	if err != nil {
		return false, err
	}
	return l.Forget(ctx, f)
}

// operated names what an operator asks for.
func operated(ctx context.Context, l *Ledger, s hapax.Scope, id hapax.Identity) (hapax.Fingerprint, error) {
	switch {
	case ctx.Err() != nil:
		return hapax.Fingerprint{}, ctx.Err()
	case l.o.Follows != nil:
		return hapax.Fingerprint{}, fmt.Errorf("look for a claim: %w", errFollows)
	case len(id) == 0:
		return hapax.Fingerprint{}, hapax.ErrMissing
	}
	return l.hasher.Scoped(s).Fingerprint(id), nil
}
