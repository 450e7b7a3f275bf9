package inbox

import "fmt"

// Guarantee is what an inbox promises of its handler's effect. A constructor
// chooses it; there is no default.
type Guarantee uint8

const (
	// AtMost is what [AtMostOnce] gives: never twice, perhaps not at all.
	AtMost Guarantee = iota + 1
	// AtLeast is what [AtLeastOnce] gives: never lost, perhaps many times.
	AtLeast
	// Leased is what [Lease] gives: once, but for a crash between effect and commit.
	Leased
	// Transacted is what [Transaction] gives: once.
	Transacted
)

var guarantees = [...]string{
	AtMost: "at most once", AtLeast: "at least once", Leased: "lease", Transacted: "transaction",
}

func (g Guarantee) String() string {
	if g > 0 && int(g) < len(guarantees) {
		return guarantees[g]
	}
	return fmt.Sprintf("Guarantee(%d)", uint8(g))
}
