package hapax_test

import (
	"context"
	"fmt"
	"time"

	"github.com/hapaxmq/hapax"
)

// The same payment order arrives twice, and the card is charged once.
func ExampleDo() {
	var ledger hapax.Ledger = newBook() // of package ledger, or of a store

	charge := func(_ context.Context, c hapax.Claim) (hapax.Receipt, error) {
		fmt.Println("card charged, fence", c.Token)
		return hapax.Receipt("charge 7"), nil
	}
	order := hapax.Request{
		Scope:    "payments",
		Identity: hapax.Identity("order 42"),
		Lease:    30 * time.Second,
	}
	for range 2 {
		result, err := hapax.Do(context.Background(), ledger, order, charge)
		fmt.Printf("%v: %s, %v\n", result.Outcome, result.Receipt, err)
	}
	// Output:
	// card charged, fence 1
	// executed: charge 7, <nil>
	// replayed: charge 7, <nil>
}

// What a consumer does with a delivery follows from the outcome.
func ExampleOutcome() {
	settle := func(o hapax.Outcome) string {
		switch o {
		case hapax.Executed, hapax.Replayed:
			return "acknowledge"
		case hapax.Conflicted:
			return "dead letter"
		case hapax.Failed:
			return "give back, one attempt less"
		default: // Held, Lost, Doubtful, Unanswered
			return "give back for later"
		}
	}
	fmt.Println(settle(hapax.Replayed))
	fmt.Println(settle(hapax.Held))
	// Output:
	// acknowledge
	// give back for later
}
