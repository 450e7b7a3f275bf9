package ledger

import (
	"context"
	"errors"

	"github.com/hapaxmq/hapax"
)

var _ hapax.BatchLedger = (*Ledger)(nil)

// ClaimBatch is [Ledger.Claim] of each request, and waits for the log once.
func (l *Ledger) ClaimBatch(ctx context.Context, requests []hapax.Request) ([]hapax.Claim, []error) {
	claims, errs := make([]hapax.Claim, len(requests)), make([]error, len(requests))
	var promised int64 // up to where the log must be durable
	copies := false
	for i, r := range requests {
		if errs[i] = l.o.refuseClaim(ctx, r); errs[i] != nil {
			continue
		}
		var reserved int64
		claims[i], reserved, errs[i] = l.claim(l.hasher.Scoped(r.Scope).Fingerprint(r.Identity), r)
		promised = max(promised, reserved)
		copies = copies || claims[i].Verdict == hapax.Duplicate
	}
	if l.journal == nil {
		return claims, errs
	}
	if err := answerable(l.journal, copies, promised); err != nil {
		err = l.settled(err)
		for i := range claims {
			if errs[i] == nil {
				claims[i], errs[i] = hapax.Claim{}, err
			}
		}
	}
	return claims, errs
}

// CommitBatch is [Ledger.Commit] of each claim, and waits for the log once.
func (l *Ledger) CommitBatch(ctx context.Context, claims []hapax.Claim, receipts []hapax.Receipt) []error {
	errs := make([]error, len(claims))
	var end int64
	for i, c := range claims {
		var receipt hapax.Receipt
		if receipts != nil {
			receipt = receipts[i]
		}
		if errs[i] = l.o.refuseCommit(ctx, receipt); errs[i] != nil {
			continue
		}
		var at int64
		at, errs[i] = l.commit(c, receipt)
		end = max(end, at)
	}
	if l.journal == nil || end == 0 {
		return errs
	}
	if err := l.journal.wait(end); err != nil {
		err = errors.Join(hapax.ErrUnknown, l.settled(err))
		for i := range errs {
			if errs[i] == nil {
				errs[i] = err
			}
		}
	}
	return errs
}
