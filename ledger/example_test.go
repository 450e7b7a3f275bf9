package ledger_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

// The same payment order arrives twice, and the card is charged once.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "ledger-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	seen, err := ledger.Open(dir, ledger.Options{Window: hapax.Window{Time: 30 * 24 * time.Hour}})
	if err != nil {
		log.Fatal(err)
	}
	defer seen.Close()

	charge := func(_ context.Context, c hapax.Claim) (hapax.Receipt, error) {
		fmt.Println("card charged, fence", c.Token)
		return hapax.Receipt("charge 7"), nil
	}
	order := hapax.Request{Scope: "payments", Identity: hapax.Identity("order 42"), Lease: 30 * time.Second}
	for range 2 {
		result, err := hapax.Do(context.Background(), seen, order, charge)
		fmt.Printf("%v: %s, %v\n", result.Outcome, result.Receipt, err)
	}
	// Output:
	// card charged, fence 1
	// executed: charge 7, <nil>
	// replayed: charge 7, <nil>
}

// A batch is asked about in one step, and its entries have a position each.
func ExampleLedger_Admit() {
	seen, err := ledger.Open("", ledger.Options{Window: hapax.Window{Count: 1_000_000}})
	if err != nil {
		log.Fatal(err)
	}
	defer seen.Close()

	orders := seen.Hasher("orders")
	b := &ledger.Batch{Source: "orders/0"}
	for i, id := range []string{"1001", "1002", "1001"} {
		b.Entries = append(b.Entries, ledger.Entry{Fingerprint: orders.Fingerprint([]byte(id)), Offset: int64(i)})
	}
	for range 2 {
		if err := seen.Admit(context.Background(), b); err != nil {
			log.Fatal(err)
		}
		for _, e := range b.Entries {
			fmt.Println(e.Offset, e.Verdict)
		}
	}
	if err := seen.Confirm(context.Background(), ledger.Checkpoint{Source: "orders/0", Offset: 2}); err != nil {
		log.Fatal(err)
	}
	if err := seen.Admit(context.Background(), b); err != nil {
		log.Fatal(err)
	}
	fmt.Println("confirmed:", b.Entries[0].Verdict)
	// Output:
	// 0 fresh
	// 1 fresh
	// 2 duplicate
	// 0 redelivered
	// 1 redelivered
	// 2 duplicate
	// confirmed: duplicate
}
