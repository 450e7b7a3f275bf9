package hapax

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrMissing: the message carries no identity of the kind asked for.
	ErrMissing = errors.New("hapax: message has no identity")
	// ErrMalformed: the message cannot be read as what the identity needs.
	ErrMalformed = errors.New("hapax: message is malformed")
	// ErrInFlight: a live claim elsewhere; carried by [*InFlightError].
	ErrInFlight = errors.New("hapax: in flight elsewhere")
	// ErrConflict: the identity was used before with another payload.
	ErrConflict = errors.New("hapax: identity reused with another payload")
	// ErrStale: the message's number or time is before what can be told.
	ErrStale = errors.New("hapax: too old to tell whether it came before")
	// ErrLeaseLost: the claim's lease ran out or its token moved on. It is also
	// the cause of a handler's cancelled context.
	ErrLeaseLost = errors.New("hapax: lease lost")
	// ErrUnknown: the commit may or may not have happened. Do not acknowledge.
	ErrUnknown = errors.New("hapax: commit outcome is unknown")
	// ErrReceiptSize: the receipt is larger than the ledger keeps. The claim is
	// as it was, and can be committed with another.
	ErrReceiptSize = errors.New("hapax: receipt is too large")
	// ErrFull: a memory, disk or count budget is used up. Nothing was forgotten.
	ErrFull = errors.New("hapax: budget is used up")
	// ErrClosed: the ledger was closed.
	ErrClosed = errors.New("hapax: ledger is closed")
	// ErrCorrupt: stored bytes are not what was written. Nothing is served.
	ErrCorrupt = errors.New("hapax: stored data is damaged")
)

// InFlightError says when to ask again. It is an [ErrInFlight].
type InFlightError struct {
	RetryAfter time.Duration // what is left of the holder's lease, never negative
}

func (e *InFlightError) Error() string {
	return fmt.Sprintf("%v: ask again in %v", ErrInFlight, e.RetryAfter)
}

// Is makes errors.Is(err, ErrInFlight) true.
func (e *InFlightError) Is(target error) bool { return target == ErrInFlight }
