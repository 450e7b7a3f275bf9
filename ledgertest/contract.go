package ledgertest

import (
	"slices"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/rehearsaltest"
)

// Capabilities are what a ledger promises beyond the bare contract. They belong
// into its documentation word for word.
type Capabilities struct {
	Durable      bool // what was committed, and what is claimed, outlives Reopen and Crash
	Evicts       bool // may forget inside the window, under memory pressure
	ServerClock  bool // leases are judged by one clock, whatever the clients' clocks say
	FencedWrites bool // Extend, Commit and Release compare the token and write in one step
	Receipts     bool // duplicates are given the first run's receipt
	Digests      bool // another payload under the same identity is a Conflict
	Retries      bool // repeating a Commit that passed is nil, for callers who lost the answer; else ErrLeaseLost
	Batches      bool // it is a hapax.BatchLedger
	Operator     bool // it is a hapax.Operator
}

// Factory makes the ledgers that [RunLedger] examines.
type Factory struct {
	Capabilities

	// New returns a new, empty ledger that remembers identities for window from
	// their commit. It registers its own clean-up with tb.
	New func(tb testing.TB, window time.Duration) *Instance
}

// Instance is one ledger under exam, and the levers the exam may pull. The
// checks that need a lever that is nil are skipped.
type Instance struct {
	Ledger hapax.Ledger

	// Advance moves the ledger's clock and Now reads it. If Advance is nil, the
	// exam sleeps through short leases and skips what needs a steady clock. If
	// Now is nil, it is time.Now.
	Advance func(time.Duration)
	Now     func() time.Time

	// Close closes Ledger. It is called more than once.
	Close func() error
	// Reopen closes Ledger and opens another on the same state.
	Reopen func() (hapax.Ledger, error)
	// Crash opens another ledger on what a killed process would leave behind.
	// Ledger is not used any more.
	Crash func() (hapax.Ledger, error)

	// Skewed is a second client of the same ledger on a machine whose clock is off, by
	// ten minutes at least: see [InAnotherTime].
	Skewed hapax.Ledger

	// Pressure fills the memory that the ledger's store shares with others, so that it
	// must forget what it knows or refuse what is new. What it took is given back by
	// the test's clean-up.
	Pressure func()

	// MaxReceipt is the limit of one receipt in bytes. Above it Commit returns
	// an error that errors.Is TooLarge, and the claim stays as it was.
	MaxReceipt int
	TooLarge   error
}

// check is one question of the exam.
type check struct {
	name  string
	needs func(Capabilities) bool // nil: every ledger must pass
	run   func(*sitting)
}

// contract lists what RunLedger asks, in the order of the statements.
func contract() []check {
	return slices.Concat(claimChecks(), fenceChecks(), memoryChecks(), claimBatchChecks(), operatorChecks())
}

// RunLedger examines the ledgers that f makes against the contract of
// [hapax.Ledger], one subtest a statement.
func RunLedger(t *testing.T, f Factory) {
	for _, c := range contract() {
		t.Run(c.name, func(t *testing.T) {
			if c.needs == nil || c.needs(f.Capabilities) {
				c.run(newSitting(t, f))
				return
			}
			r := rehearsaltest.Run(t, func(tb testing.TB) { c.run(newSitting(tb, f)) })
			if r.Passed() {
				t.Errorf("passed without promising it: declare the capability")
			}
		})
	}
}
