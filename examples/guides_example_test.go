package examples_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"slices"
	"time"

	_ "modernc.org/sqlite"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/ledger"
)

// effects are what four handlers do, each of which fails behind its first effect, as a
// process does that dies there.
type effects struct {
	address  string
	alarms   int
	mailKeys []string
	failed   map[string]bool
}

var errDied = errors.New("the connection is gone")

func (e *effects) fails(name string) error {
	if e.failed[name] {
		return nil
	}
	e.failed[name] = true
	return errDied
}

func (e *effects) transfer(ctx context.Context, tx *sql.Tx, _ *hapax.Message) (hapax.Receipt, error) {
	if _, err := tx.ExecContext(ctx, "UPDATE account SET cents = cents + 100"); err != nil {
		return nil, err
	}
	return nil, e.fails("transfer")
}

func (e *effects) mail(ctx context.Context, _ hapax.Claim, _ *hapax.Message) (hapax.Receipt, error) {
	e.mailKeys = append(e.mailKeys, inbox.ChildID(ctx, "mail"))
	return nil, e.fails("mail")
}

func (e *effects) alarm(context.Context, *hapax.Message) error {
	e.alarms++
	return e.fails("alarm")
}

func (e *effects) move(_ context.Context, m *hapax.Message) error {
	e.address = string(m.Value)
	return e.fails("move")
}

// inboxes has one of each guarantee.
func (e *effects) inboxes(marks *sqldb.Marks, seen hapax.Ledger) (all []*inbox.Inbox, err error) {
	options := func(name string) inbox.Options {
		return inbox.Options{Name: name, Identity: "header:id", Window: 24 * time.Hour}
	}
	transfers, err1 := inbox.Transaction(marks, options("transfers"), e.transfer) // rows in my database
	mails, err2 := inbox.Lease(seen, options("mails"), e.mail)                    // an effect elsewhere
	alarms, err3 := inbox.AtMostOnce(seen, options("alarms"), e.alarm)            // never twice
	moves, err4 := inbox.AtLeastOnce(inbox.Options{Name: "moves"}, e.move)        // twice is as good as once
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	return []*inbox.Inbox{transfers.Inbox, mails, alarms, moves}, nil
}

func Example_guarantees() {
	db, err := sql.Open("sqlite", "file:guarantees?mode=memory&cache=shared")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	marks, err := sqldb.ByID(db, sqldb.SQLite, sqldb.Options{})
	if err == nil {
		err = marks.Migrate(context.Background())
	}
	if err == nil {
		_, err = db.Exec("CREATE TABLE account (cents INTEGER); INSERT INTO account VALUES (0)")
	}
	if err != nil {
		log.Fatal(err)
	}
	seen, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: 24 * time.Hour}})
	if err != nil {
		log.Fatal(err)
	}
	defer seen.Close()

	e := &effects{failed: map[string]bool{}}
	all, err := e.inboxes(marks, seen)
	if err != nil {
		log.Fatal(err)
	}
	message := &hapax.Message{Headers: []hapax.Header{{Name: "id", Value: []byte("1")}}, Value: []byte("12 Rue Cler")}
	for _, in := range all {
		for range 3 { // as often as a broker may
			_, _ = in.Handle(context.Background(), message)
		}
		_ = in.Close()
	}
	var cents int
	if err := db.QueryRow("SELECT cents FROM account").Scan(&cents); err != nil {
		log.Fatal(err)
	}
	fmt.Println("transaction:", cents, "cents")
	fmt.Println("lease:", len(e.mailKeys), "mails, with", len(slices.Compact(e.mailKeys)), "key")
	fmt.Println("at most once:", e.alarms, "alarm, and nobody tries again")
	fmt.Println("at least once:", e.address)
	// Output:
	// transaction: 100 cents
	// lease: 2 mails, with 1 key
	// at most once: 1 alarm, and nobody tries again
	// at least once: 12 Rue Cler
}

// A name is good if a message sent again has the same one, and no other message has it.
func Example_identities() {
	message := func(text string) *hapax.Message {
		return &hapax.Message{Headers: []hapax.Header{{Name: "attempt", Value: []byte(text[len(text)-9:])}}, Value: []byte(text)}
	}
	first := message(`{"tenant": "eu", "payment": 7, "cents": 100, "sent": "10:00:07"}`)
	again := message(`{"tenant": "eu", "payment": 7, "cents": 100, "sent": "10:00:09"}`)
	other := message(`{"tenant": "us", "payment": 7, "cents": 250, "sent": "10:00:08"}`)
	for _, spec := range []string{
		"json:tenant,payment", // a number, and where it is one
		"json:payment",        // the number alone
		"content:-sent",       // all that it says, but for what each try says anew
		"content",             // all of it
		"header:attempt",      // what the client mints for each try
	} {
		x, err := identity.Parse(spec)
		if err != nil {
			log.Fatal(err)
		}
		name := func(m *hapax.Message) string {
			id, err := x.Append(nil, m)
			if err != nil {
				log.Fatal(err)
			}
			return string(id)
		}
		fmt.Printf("%-20s knows the copy: %-6t tells the other apart: %t\n", spec, name(again) == name(first), name(other) != name(first))
	}
	// Output:
	// json:tenant,payment  knows the copy: true   tells the other apart: true
	// json:payment         knows the copy: true   tells the other apart: false
	// content:-sent        knows the copy: true   tells the other apart: true
	// content              knows the copy: false  tells the other apart: true
	// header:attempt       knows the copy: false  tells the other apart: true
}

// A window is as long as copies may come after the first, and the inbox is told how long the
// broker may deliver again: it warns where the one is shorter than the other.
func Example_window() {
	var said bytes.Buffer
	warnings := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))
	seen, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: 7 * 24 * time.Hour}})
	if err != nil {
		log.Fatal(err)
	}
	defer seen.Close()
	for _, window := range []time.Duration{time.Hour, 7 * 24 * time.Hour} {
		said.Reset()
		mails, err := inbox.Lease(seen, inbox.Options{
			Name: "mails", Identity: "header:id", Logger: warnings,
			Window:     window,
			Redelivery: 7 * 24 * time.Hour, // retention.ms of the topic
		}, func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) { return nil, nil })
		if err != nil {
			log.Fatal(err)
		}
		_ = mails.Close()
		fmt.Println(window, "is too short:", said.Len() > 0)
	}
	// Output:
	// 1h0m0s is too short: true
	// 168h0m0s is too short: false
}
