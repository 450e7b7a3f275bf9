package hapax

import "context"

// Operator is what a [Ledger], or [Marks], may offer to those who run it: to look at what
// is known of a message, and to let it go. Package inbox audits what is done by it. Of
// marks, a transaction under way is not seen, and goes on.
type Operator interface {
	// Look is the answer that [Ledger].Claim would give, of what is there only: Duplicate
	// with its receipt, InFlight with its deadline, or Fresh if it is neither. Digest and
	// Token are those that are kept, if any are. It changes nothing.
	Look(ctx context.Context, s Scope, id Identity) (Claim, error)
	// Expire lets the identity go, whether committed or claimed, and tells whether it was
	// there: the next Claim is Fresh, with a higher token, and who holds it now gets
	// [ErrLeaseLost].
	Expire(ctx context.Context, s Scope, id Identity) (was bool, err error)
}
