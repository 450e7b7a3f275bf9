package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/ledger"
)

// delivered are messages as a broker delivers them: one of them twice.
func delivered() []*hapax.Message {
	order := func(id, amount string) *hapax.Message {
		return &hapax.Message{Headers: []hapax.Header{{Name: "message-id", Value: []byte(id)}}, Value: []byte(amount)}
	}
	return []*hapax.Message{order("m-1", "30"), order("m-2", "12"), order("m-1", "30")}
}

// openShop opens a database with an account, and the marks beside it.
func openShop() (db *sql.DB, marks *sqldb.Marks, remove func()) {
	dir, err := os.MkdirTemp("", "inbox-")
	if err != nil {
		log.Fatal(err)
	}
	db, err = sql.Open("sqlite", "file:"+filepath.Join(dir, "shop.db"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err = db.Exec("CREATE TABLE account (balance INTEGER); INSERT INTO account VALUES (0)"); err != nil {
		log.Fatal(err)
	}
	if marks, err = sqldb.ByID(db, sqldb.SQLite, sqldb.Options{}); err == nil {
		err = marks.Migrate(context.Background())
	}
	if err != nil {
		log.Fatal(err)
	}
	return db, marks, func() {
		_ = db.Close()
		_ = os.RemoveAll(dir)
	}
}

func credit(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
	_, err := tx.ExecContext(ctx, "UPDATE account SET balance = balance + ?", string(m.Value))
	return nil, err
}

func balance(db *sql.DB) (n int) {
	if err := db.QueryRow("SELECT balance FROM account").Scan(&n); err != nil {
		log.Fatal(err)
	}
	return n
}

// An amount that must be added once, in the database that holds the account.
func ExampleTransaction() {
	db, marks, remove := openShop()
	defer remove()

	billing, err := inbox.Transaction(marks, inbox.Options{
		Name:       "billing",
		Identity:   "header:message-id",
		Window:     7 * 24 * time.Hour,
		Redelivery: 3 * 24 * time.Hour,
	}, credit)
	if err != nil {
		log.Fatal(err)
	}
	defer billing.Close()

	for _, m := range delivered() {
		result, err := billing.Handle(context.Background(), m)
		fmt.Printf("%v, so %v\n", result.Outcome, inbox.Settle(result, err).Action)
	}
	fmt.Println("balance", balance(db))
	// Output:
	// executed, so ack
	// executed, so ack
	// replayed, so ack
	// balance 42
}

// A batch is marked by one statement, and written by one.
func ExampleBatched() {
	db, marks, remove := openShop()
	defer remove()

	o := inbox.Options{Name: "billing", Identity: "header:message-id", Window: inbox.Forever}
	all := func(ctx context.Context, tx *sql.Tx, fresh []*hapax.Message) error {
		sum := 0
		for _, m := range fresh {
			var amount int
			if _, err := fmt.Sscan(string(m.Value), &amount); err != nil {
				return err // then each is handled alone
			}
			sum += amount
		}
		_, err := tx.ExecContext(ctx, "UPDATE account SET balance = balance + ?", sum)
		return err
	}
	billing, err := inbox.Transaction(marks, o, credit, inbox.Batched(all))
	if err != nil {
		log.Fatal(err)
	}
	defer billing.Close()

	for _, h := range billing.HandleBatch(context.Background(), delivered()) {
		fmt.Println(h.Result.Outcome)
	}
	fmt.Println("balance", balance(db))
	// Output:
	// executed
	// executed
	// replayed
	// balance 42
}

// A message is handled in a transaction that the caller has begun, and commits.
func ExampleTxInbox_HandleIn() {
	db, marks, remove := openShop()
	defer remove()

	billing, err := inbox.Transaction(marks,
		inbox.Options{Name: "billing", Identity: "header:message-id", Window: inbox.Forever}, credit)
	if err != nil {
		log.Fatal(err)
	}
	defer billing.Close()

	tx, err := db.Begin()
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range delivered() {
		result, err := billing.HandleIn(context.Background(), tx, m)
		fmt.Println(result.Outcome, err)
	}
	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("balance", balance(db))
	// Output:
	// executed <nil>
	// executed <nil>
	// replayed <nil>
	// balance 42
}

// An e-mail can't be rolled back. The message is claimed while it is sent, and the
// server is given an id by which it knows a second try.
func ExampleLease() {
	seen, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: 7 * 24 * time.Hour}, Digests: true})
	if err != nil {
		log.Fatal(err)
	}
	defer seen.Close()

	send := func(ctx context.Context, c hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
		fmt.Printf("sent %s, with an id of %d characters\n", m.Value, len(inbox.ChildID(ctx, "mail")))
		return hapax.Receipt("250 accepted"), nil
	}
	mails, err := inbox.Lease(seen, inbox.Options{
		Name:       "mails",
		Identity:   "header:message-id",
		Window:     7 * 24 * time.Hour,
		Lease:      30 * time.Second,
		Duplicates: inbox.Replay(),
	}, send)
	if err != nil {
		log.Fatal(err)
	}
	defer mails.Close()

	for _, m := range delivered() {
		result, err := mails.Handle(context.Background(), m)
		fmt.Printf("%v: %s, %v\n", result.Outcome, result.Receipt, err)
	}
	// Output:
	// sent 30, with an id of 43 characters
	// executed: 250 accepted, <nil>
	// sent 12, with an id of 43 characters
	// executed: 250 accepted, <nil>
	// replayed: 250 accepted, <nil>
}

// A reminder that must not come twice, even if it then never comes.
func ExampleAtMostOnce() {
	seen, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: 24 * time.Hour}})
	if err != nil {
		log.Fatal(err)
	}
	defer seen.Close()

	reminders, err := inbox.AtMostOnce(seen,
		inbox.Options{Name: "reminders", Identity: "header:message-id", Window: 24 * time.Hour},
		func(_ context.Context, m *hapax.Message) error {
			if string(m.Value) == "12" {
				return fmt.Errorf("the phone is off")
			}
			return nil
		})
	if err != nil {
		log.Fatal(err)
	}
	defer reminders.Close()

	again := delivered()[1]
	for _, m := range append(delivered(), again) {
		result, err := reminders.Handle(context.Background(), m)
		fmt.Printf("%v, so %v\n", result.Outcome, inbox.Settle(result, err).Action)
	}
	// Output:
	// executed, so ack
	// forfeited, so dead letter
	// replayed, so ack
	// replayed, so ack
}

// Setting a value again changes nothing: nothing has to be remembered.
func ExampleAtLeastOnce() {
	address := ""
	addresses, err := inbox.AtLeastOnce(inbox.Options{Name: "addresses"}, func(_ context.Context, m *hapax.Message) error {
		address = string(m.Value)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	defer addresses.Close()

	moved := &hapax.Message{Value: []byte("12 Rue Cler")}
	for range 2 {
		result, err := addresses.Handle(context.Background(), moved)
		fmt.Println(result.Outcome, err, address)
	}
	// Output:
	// executed <nil> 12 Rue Cler
	// executed <nil> 12 Rue Cler
}

// What a handler sends out has ids that are made of the one it handles. So a run that
// comes again, after a crash, sends the same ids, and the next service knows them.
func ExampleChildID() {
	seen, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: time.Hour}})
	if err != nil {
		log.Fatal(err)
	}
	defer seen.Close()
	options := func(name string) inbox.Options {
		return inbox.Options{Name: name, Identity: "header:message-id", Window: time.Hour}
	}
	invoices, err := inbox.Lease(seen, options("invoices"), func(_ context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
		fmt.Printf("invoice of %s\n", m.Value)
		return nil, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	defer invoices.Close()

	crash := errors.New("killed before the commit")
	orders, err := inbox.Lease(seen, options("orders"), func(ctx context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
		id := inbox.ChildID(ctx, "invoice")
		sent := &hapax.Message{Headers: []hapax.Header{{Name: "message-id", Value: []byte(id)}}, Value: m.Value}
		result, err := invoices.Handle(ctx, sent) // by a broker, of course
		fmt.Println("  the next service:", result.Outcome)
		if err == nil {
			err, crash = crash, nil
		}
		return nil, err
	})
	if err != nil {
		log.Fatal(err)
	}
	defer orders.Close()

	for range 2 {
		result, err := orders.Handle(context.Background(), delivered()[0])
		fmt.Println(result.Outcome, err)
	}
	// Output:
	// invoice of 30
	//   the next service: executed
	// failed killed before the commit
	//   the next service: replayed
	// executed <nil>
}

// Copies are given what the first run returned, to answer a request again.
func ExampleReplay() {
	seen, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: time.Hour}})
	if err != nil {
		log.Fatal(err)
	}
	defer seen.Close()
	tickets := 0
	in, err := inbox.Lease(seen, inbox.Options{
		Name: "tickets", Identity: "header:message-id", Window: time.Hour, Duplicates: inbox.Replay(),
	}, func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) {
		tickets++
		return fmt.Appendf(nil, "ticket %d", tickets), nil
	})
	if err != nil {
		log.Fatal(err)
	}
	defer in.Close()
	for _, m := range delivered() {
		result, err := in.Handle(context.Background(), m)
		fmt.Printf("%v: %s, %v\n", result.Outcome, result.Receipt, err)
	}
	// Output:
	// executed: ticket 1, <nil>
	// executed: ticket 2, <nil>
	// replayed: ticket 1, <nil>
}

// An operator looks at a message that was handled, and has it handled again. Both acts are
// in the log, with who did them and why.
func ExampleRerun() {
	ctx := context.Background()
	db, marks, remove := openShop()
	defer remove()
	in, err := inbox.Transaction(marks, inbox.Options{Name: "credits", Identity: "header:message-id", Window: inbox.Forever}, credit)
	if err != nil {
		log.Fatal(err)
	}
	defer in.Close()
	first := delivered()[0]
	if _, err := in.Handle(ctx, first); err != nil {
		log.Fatal(err)
	}

	ann := inbox.Act{By: "ann", Reason: "the credit was booked back by hand"}
	known, err := inbox.Look(ctx, in.Inbox, first, ann)
	fmt.Println(known.Verdict, err)
	result, err := inbox.Rerun(ctx, in.Inbox, first, ann)
	fmt.Println(result.Outcome, err)
	fmt.Println("balance", balance(db))
	// Output:
	// duplicate <nil>
	// executed <nil>
	// balance 60
}

// A consumer's loop has no policy of its own.
func ExampleSettle() {
	handler := func(_ context.Context, m *hapax.Message) error {
		switch string(m.Value) {
		case "30":
			return inbox.Later(time.Minute, fmt.Errorf("the bank is closed"))
		case "12":
			return inbox.Permanent(fmt.Errorf("no such account"))
		}
		return nil
	}
	in, err := inbox.AtLeastOnce(inbox.Options{Name: "payments"}, handler)
	if err != nil {
		log.Fatal(err)
	}
	defer in.Close()

	for _, m := range delivered()[:2] {
		switch s := inbox.Settle(in.Handle(context.Background(), m)); s.Action {
		case inbox.Ack:
			fmt.Println("acknowledge it")
		case inbox.Retry:
			fmt.Println("give it back, to come again in", s.After)
		case inbox.DeadLetter:
			fmt.Println("put it to the dead letters, then acknowledge it")
		case inbox.Stop:
			fmt.Println("give it back, and take no other for", s.After)
		}
	}
	// Output:
	// give it back, to come again in 1m0s
	// put it to the dead letters, then acknowledge it
}
