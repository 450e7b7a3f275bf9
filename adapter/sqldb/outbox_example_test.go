package sqldb_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/outbox"
)

// A payment comes in, perhaps twice; what it does to the account, and what goes out to
// others, commits with its mark or not at all. The id of what goes out derives from what
// came in.
func ExampleOutbox() {
	db, remove := openShop("CREATE TABLE accounts (id TEXT PRIMARY KEY, cents INTEGER); INSERT INTO accounts VALUES ('ann', 0)")
	defer remove()
	ctx := context.Background()

	marks, err := sqldb.ByID(db, sqldb.SQLite, sqldb.Options{})
	if err != nil {
		log.Fatal(err)
	}
	out, err := sqldb.NewOutbox(db, sqldb.SQLite, sqldb.OutboxOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, migrate := range []func(context.Context) error{marks.Migrate, out.Migrate} {
		if err := migrate(ctx); err != nil {
			log.Fatal(err)
		}
	}
	payments, err := inbox.Transaction(marks, inbox.Options{
		Name: "payments", Window: inbox.Forever,
		Identify: func(dst []byte, m *hapax.Message) ([]byte, error) { return append(dst, m.Key...), nil },
	}, func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
		if _, err := tx.ExecContext(ctx, "UPDATE accounts SET cents = cents + 500 WHERE id = 'ann'"); err != nil {
			return nil, err
		}
		return nil, out.Put(ctx, tx, outbox.Record{
			ID: identity.ChildID(m.Key, "confirmation"), Topic: "confirmations", OrderKey: "ann", Payload: []byte("500 cents"),
		})
	})
	if err != nil {
		log.Fatal(err)
	}
	defer payments.Close()

	for range 2 {
		result, err := payments.Handle(ctx, &hapax.Message{Key: []byte("payment 7")})
		fmt.Println(result.Outcome, err)
	}
	fmt.Println(number(db, "SELECT cents FROM accounts"), "cents,", number(db, "SELECT count(*) FROM hapax_outbox"), "record to publish")
	// Output:
	// executed <nil>
	// replayed <nil>
	// 500 cents, 1 record to publish
}
