package ledgertest

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
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

	// Skewed is a second client of the same ledger on a machine whose clock is
	// ten minutes ahead.
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
	return append(claimChecks(), append(fenceChecks(), memoryChecks()...)...)
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
			r := rehearse(t, func(tb testing.TB) { c.run(newSitting(tb, f)) })
			if !r.failed && !r.skipped {
				t.Errorf("passed without promising it: declare the capability")
			}
		})
	}
}

// rehearsal is a test whose failure is an observation. The checks of promises
// not made run in it, and so do the exam's own tests.
type rehearsal struct {
	testing.TB
	mu      sync.Mutex
	failed  bool
	skipped bool
	said    string
}

// rehearse runs f to its end or first fatal failure.
func rehearse(tb testing.TB, f func(testing.TB)) *rehearsal {
	r := &rehearsal{TB: tb}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r
}

func (r *rehearsal) note(failed bool, said string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = r.failed || failed
	r.skipped = r.skipped || !failed
	if r.said == "" {
		r.said = said
	}
}

func (r *rehearsal) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *rehearsal) Errorf(format string, args ...any) { r.note(true, sprintf(format, args)) }
func (r *rehearsal) Fatalf(format string, args ...any) {
	r.note(true, sprintf(format, args))
	runtime.Goexit()
}
func (r *rehearsal) Fatal(args ...any) { r.Fatalf("%v", args...) }
func (r *rehearsal) Error(args ...any) { r.Errorf("%v", args...) }
func (r *rehearsal) FailNow()          { r.Fatalf("failed") }
func (r *rehearsal) Fail()             { r.Errorf("failed") }
func (r *rehearsal) Skipf(format string, args ...any) {
	r.note(false, sprintf(format, args))
	runtime.Goexit()
}
func (r *rehearsal) Skip(args ...any) { r.Skipf("%v", args...) }
func (r *rehearsal) SkipNow()         { r.Skipf("skipped") }
