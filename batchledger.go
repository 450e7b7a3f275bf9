package hapax

import "context"

// BatchLedger is a [Ledger] that takes several messages at once, and waits for the
// network or the disk once, where they would be waited for one after the other.
//
// Each message stands for itself. It is answered as Claim and Commit would have answered,
// one after the other in the order given, and one that fails takes no other along: the
// slices returned are as long as the one given, and place i of each tells of place i.
// What is in doubt, such as when the network fails, may be so for some or for all.
//
// The ledger neither keeps nor changes the slices given. All methods may be called from
// several goroutines at once, with any messages in any order.
type BatchLedger interface {
	Ledger
	// ClaimBatch is Claim of each request. Of two copies in one batch the second is
	// InFlight, as the first has claimed.
	ClaimBatch(ctx context.Context, requests []Request) ([]Claim, []error)
	// CommitBatch is Commit of each claim with the receipt at its place. Nil receipts
	// are none for all; else there are as many as claims.
	CommitBatch(ctx context.Context, claims []Claim, receipts []Receipt) []error
}
