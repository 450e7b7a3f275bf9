package examples_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/inbox"
)

// creditBefore is an inbox as one writes it by hand.
func creditBefore(ctx context.Context, db *sql.DB, id, cents string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing, once it is committed
	marked, err := tx.ExecContext(ctx, "INSERT INTO processed_messages (id) VALUES (?) ON CONFLICT DO NOTHING", id)
	if err != nil {
		return err
	}
	if n, err := marked.RowsAffected(); err != nil || n == 0 {
		return err // it is a copy
	}
	if _, err := tx.ExecContext(ctx, "UPDATE account SET cents = cents + ?", cents); err != nil {
		return err
	}
	return tx.Commit()
}

// mark is the same mark in the same table.
func mark(ctx context.Context, tx *sql.Tx, m *hapax.Mark) (fresh bool, err error) {
	marked, err := tx.ExecContext(ctx, "INSERT INTO processed_messages (id) VALUES (?) ON CONFLICT DO NOTHING", string(m.Identity))
	if err != nil {
		return false, err
	}
	n, err := marked.RowsAffected()
	return n == 1, err
}

// messageID is the id as the table has it.
func messageID(dst []byte, m *hapax.Message) ([]byte, error) {
	id, _ := m.Header("message-id")
	return append(dst, id...), nil // an empty one is none
}

func creditAfter(db *sql.DB) (*inbox.TxInbox[*sql.Tx], error) {
	marks, err := sqldb.ByOwn(db, sqldb.SQLite, mark, sqldb.Options{})
	if err != nil {
		return nil, err
	}
	return inbox.Transaction(marks, inbox.Options{Name: "credit", Identify: messageID, Window: inbox.Forever},
		func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
			_, err := tx.ExecContext(ctx, "UPDATE account SET cents = cents + ?", string(m.Value))
			return nil, err
		})
}

// The old consumer and the new one may run side by side: the table is the same.
func Example_processedMessages() {
	dir, err := os.MkdirTemp("", "migration-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "shop.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE processed_messages (id TEXT PRIMARY KEY); CREATE TABLE account (cents INTEGER); INSERT INTO account VALUES (0)"); err != nil {
		log.Fatal(err)
	}
	after, err := creditAfter(db)
	if err != nil {
		log.Fatal(err)
	}
	defer after.Close()

	ctx := context.Background()
	old := func(id, cents string) {
		if err := creditBefore(ctx, db, id, cents); err != nil {
			log.Fatal(err)
		}
	}
	old("m-1", "30")
	for _, m := range []struct{ id, cents string }{{"m-1", "30"}, {"m-2", "12"}} {
		result, err := after.Handle(ctx, &hapax.Message{
			Headers: []hapax.Header{{Name: "message-id", Value: []byte(m.id)}}, Value: []byte(m.cents),
		})
		fmt.Println(m.id, result.Outcome, err)
	}
	old("m-2", "12")
	var cents int
	if err := db.QueryRow("SELECT cents FROM account").Scan(&cents); err != nil {
		log.Fatal(err)
	}
	fmt.Println("cents", cents)
	// Output:
	// m-1 replayed <nil>
	// m-2 executed <nil>
	// cents 42
}
