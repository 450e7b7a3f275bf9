package hapax

import (
	"context"
	"time"
)

// Ledger is the contract for effects outside the ledger: claim an identity, do
// the work, then commit or release the claim. All methods may be called from
// several goroutines at once.
//
// Extend, Commit and Release compare the claim's token with the ledger's: once
// the lease has run out and somebody else claimed, they return [ErrLeaseLost]
// and change nothing.
type Ledger interface {
	// Claim reserves the identity for lease, or says why it cannot: the
	// returned claim's Verdict is Fresh (reserved), Duplicate, InFlight or
	// Conflict. It is one atomic step. An error means that nothing is known
	// and nothing was reserved.
	Claim(ctx context.Context, r Request) (Claim, error)
	// Extend prolongs the lease to at least d from now.
	Extend(ctx context.Context, c Claim, d time.Duration) (Claim, error)
	// Commit remembers the identity for the window, with the receipt. It
	// returns once that is durable. [ErrUnknown] means that it may be.
	Commit(ctx context.Context, c Claim, receipt Receipt) error
	// Release frees the identity: the next Claim is Fresh, with a higher token.
	Release(ctx context.Context, c Claim) error
}

// Request asks a [Ledger] for a claim.
type Request struct {
	Scope    Scope
	Identity Identity
	Digest   Digest        // of the payload; zero to compare none
	Lease    time.Duration // how long the claim lives without Extend; above zero
}

// Claim is a ledger's answer to a [Request], and a reservation if Fresh.
type Claim struct {
	Fingerprint Fingerprint
	Key         [32]byte // the same, of a ledger whose users share no secret; else zero
	Digest      Digest
	Verdict     Verdict
	Token       uint64    // fencing token: rises with every claim of an identity
	Deadline    time.Time // when the lease (ours, or the holder's if InFlight) ends, by the ledger's clock
	Receipt     Receipt   // of the first run, if Duplicate and kept
}

// Receipt is the stored outcome of the first run, given to its duplicates.
// A nil receipt is none; an empty one is one.
type Receipt []byte
