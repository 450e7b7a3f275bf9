package inbox

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
)

// Forever is the window of marks that are never forgotten.
const Forever = time.Duration(math.MaxInt64)

// ByPosition is the identity of a message that is known by where it stands in its
// source ([hapax.Message.Position]), such as a topic's partition and an offset. It
// finds redeliveries and no other copies. Marks by position keep one row for a
// source instead of one for a message. See [Inbox.Handle] for the order that they
// ask for.
const ByPosition = "position"

// defaultLease is how long a claim lives if nobody extends it.
const defaultLease = 30 * time.Second

// maxCommitted bounds what may be remembered in memory: some 200 MB.
const maxCommitted = 1 << 20

// Options says of a handler what its guarantee does not. Name, and but for
// [AtLeastOnce] an identity and Window, are required; of all others the zero value
// is good.
type Options struct {
	// Name names the handler and is the scope of its marks: two handlers of one
	// message each have their own. It is stored with every mark, so another name is
	// another handler, which has seen nothing.
	Name string

	// Identity says how messages are named, as [identity.Parse] reads it
	// ("header:id", "json:event.id", "cloudevents"), or is [ByPosition]. It must be
	// the same in all processes that share marks.
	Identity string
	// Identify names messages instead, where the id is in a form that no spec reads:
	// it appends the id to dst. Its errors are [hapax.ErrMissing] and
	// [hapax.ErrMalformed]. It is called from several goroutines at once.
	Identify func(dst []byte, m *hapax.Message) ([]byte, error)
	// Missing is what to do with a message that has no identity. The default is an
	// error, [hapax.Nameless]. Under [identity.PassOnMissing] the handler runs
	// without a mark, as often as the message comes, and the outcome is
	// [hapax.Passed].
	Missing identity.MissingPolicy

	// Window is how long the store remembers a mark, or [Forever]. It is a promise of
	// the store; told here, it is compared with Redelivery.
	Window time.Duration
	// Redelivery is how late the broker may deliver a message again: its retention,
	// or how long it may be replayed by hand. If Window is shorter a warning is
	// logged. Zero: unknown.
	Redelivery time.Duration

	// NoDigests leaves out the digest of the payload, by which the reuse of an id
	// with another payload is told from a copy. A store that keeps none compares
	// none.
	NoDigests bool

	// Duplicates is what to do with copies. The default is to drop and count them.
	Duplicates OnDuplicate

	// Wait is how long a copy waits for the one that is being handled, before it is
	// [hapax.Held]: with [Replay] its caller is then given the receipt as well. Zero:
	// not at all, but for what the store waits. It looks again after 10 ms, and ever
	// later, up to a second.
	Wait time.Duration

	// Committed is how many messages that were handled are remembered in memory, at
	// most 1,048,576 (100 to 200 bytes each, and receipts up to 1 KiB where
	// Duplicates asks for them). Their copies are answered without asking the store.
	// It knows nothing of what an operator takes out of the store.
	Committed int

	// Lease is how long a claim lives when its holder dies, and so how long copies
	// wait then (default 30 s). Limits bounds the rest. Both are for [Lease] and
	// [AtMostOnce].
	Lease  time.Duration
	Limits hapax.Limits
	// StoreDown is what to do while the ledger can't be asked. [FailOpen] is for
	// [Lease] only: a transaction has no database to run in, and at most once no
	// other way.
	StoreDown StoreDown

	// Backoff is how long a message waits after an attempt that failed. [Settle] says it.
	Backoff Backoff

	Logger   *slog.Logger // default: silent. Identities are logged as hashes
	Observer Observer
}

// StoreDown is what to do with a message while the ledger can't be asked.
type StoreDown uint8

const (
	// FailClosed gives it back, to come again after a while that doubles each time
	// ([hapax.Unanswered], [Stop]).
	FailClosed StoreDown = iota
	// FailOpen runs the handler without a claim: with a token of zero, and perhaps
	// once for each copy ([hapax.Passed]).
	FailOpen
)

func (s StoreDown) String() string {
	switch s {
	case FailClosed:
		return "fail closed"
	case FailOpen:
		return "fail open"
	}
	return fmt.Sprintf("StoreDown(%d)", uint8(s))
}

// validate fills in defaults, and reports the first thing that is wrong.
func (o *Options) validate(g Guarantee) error {
	if o.Name == "" {
		return errors.New("name is empty: it is the scope of the handler's marks")
	}
	if err := o.Backoff.validate(); err != nil {
		return err
	}
	if g == AtLeast {
		return nil
	}
	if o.Lease == 0 {
		o.Lease = defaultLease
	}
	switch {
	case o.Identity == "" && o.Identify == nil:
		return errors.New(`identity is empty: say how messages are named, such as "header:id"`)
	case o.Identity != "" && o.Identify != nil:
		return errors.New("both Identity and Identify: want one of them")
	case o.Window <= 0:
		return fmt.Errorf("window %v: say how long marks are remembered, or Forever", o.Window)
	case o.Redelivery < 0:
		return fmt.Errorf("redelivery %v: want none below zero", o.Redelivery)
	case o.Wait < 0:
		return fmt.Errorf("wait %v: want none below zero", o.Wait)
	case o.Missing > identity.PassOnMissing:
		return fmt.Errorf("missing: %v is no policy", o.Missing)
	case o.Committed < 0 || o.Committed > maxCommitted:
		return fmt.Errorf("committed %d: want 0 to %d", o.Committed, maxCommitted)
	case o.StoreDown > FailOpen:
		return fmt.Errorf("store down: %v is no policy", o.StoreDown)
	case o.StoreDown == FailOpen && g != Leased:
		return fmt.Errorf("store down: %v can't be: it is for leases", FailOpen)
	}
	if err := o.Limits.Validate(o.Lease); err != nil {
		return err
	}
	return o.Duplicates.validate()
}
