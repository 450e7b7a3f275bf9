package hapax

import "fmt"

// Verdict is a ledger's answer about one message.
type Verdict uint8

const (
	// Fresh: not seen within the window. It is remembered from now on.
	Fresh Verdict = iota + 1
	// Duplicate: a copy came before, and is as durable as the ledger promises.
	Duplicate
	// Redelivered: this very position was admitted before and never confirmed.
	// Its effect may not have happened: run it again.
	Redelivered
	// InFlight: somebody holds a live claim on it.
	InFlight
	// Conflict: the same identity came before with another payload.
	Conflict
	// Late: by event time it is older than the window reaches back, so nothing
	// is known of it.
	Late
	// Stale: a sequence number below what its window can still tell. It may be
	// a first copy that came very late.
	Stale
)

var verdicts = [...]string{
	Fresh: "fresh", Duplicate: "duplicate", Redelivered: "redelivered", InFlight: "in flight",
	Conflict: "conflict", Late: "late", Stale: "stale",
}

func (v Verdict) String() string {
	if v > 0 && int(v) < len(verdicts) {
		return verdicts[v]
	}
	return fmt.Sprintf("Verdict(%d)", uint8(v))
}
