package sqldb_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
)

// An e-mail is in no transaction: its message is claimed, and committed when it is sent.
// Copies meet the claim, in whichever process.
func ExampleLedger() {
	db, remove := openShop("")
	defer remove()
	ctx := context.Background()

	sent, err := sqldb.NewLedger(db, sqldb.SQLite, sqldb.LedgerOptions{Window: 7 * 24 * time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	if err := sent.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	welcome := hapax.Request{Scope: "mail", Identity: hapax.Identity("signup 42"), Lease: 30 * time.Second}
	for range 2 {
		result, err := hapax.Do(ctx, sent, welcome, func(context.Context, hapax.Claim) (hapax.Receipt, error) {
			fmt.Println("welcome!")
			return hapax.Receipt("250 queued as 7F3A"), nil // what the mail server said
		})
		fmt.Printf("%v: %s %v\n", result.Outcome, result.Receipt, err)
	}
	// Output:
	// welcome!
	// executed: 250 queued as 7F3A <nil>
	// replayed: 250 queued as 7F3A <nil>
}
