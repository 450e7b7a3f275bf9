package sqldb_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/inbox"
)

// openShop opens a database of SQLite with these tables; another one differs in the
// driver and the dialect.
func openShop(tables string) (db *sql.DB, remove func()) {
	dir, err := os.MkdirTemp("", "shop-")
	if err != nil {
		log.Fatal(err)
	}
	if db, err = sql.Open("sqlite", "file:"+filepath.Join(dir, "shop.db")); err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec(tables); err != nil {
		log.Fatal(err)
	}
	return db, func() {
		_ = db.Close()
		_ = os.RemoveAll(dir)
	}
}

func number(db *sql.DB, query string) (n int) {
	if err := db.QueryRow(query).Scan(&n); err != nil {
		log.Fatal(err)
	}
	return n
}

// The table of orders has the order's number as its key: that is the mark, and there is
// no other table. The handler does what else belongs to a new order.
func ExampleByOwn() {
	db, remove := openShop("CREATE TABLE orders (number TEXT PRIMARY KEY); CREATE TABLE stock (books INTEGER); INSERT INTO stock VALUES (10)")
	defer remove()

	marks, err := sqldb.ByOwn(db, sqldb.SQLite, func(ctx context.Context, tx *sql.Tx, m *hapax.Mark) (bool, error) {
		done, err := tx.ExecContext(ctx, "INSERT INTO orders (number) VALUES (?) ON CONFLICT DO NOTHING", string(m.Identity))
		if err != nil {
			return false, err
		}
		n, err := done.RowsAffected()
		return n == 1, err
	}, sqldb.Options{})
	if err != nil {
		log.Fatal(err)
	}
	orders, err := inbox.Transaction(marks, inbox.Options{
		Name: "orders", Window: inbox.Forever, // as long as the rows
		Identify: func(dst []byte, m *hapax.Message) ([]byte, error) { return append(dst, m.Key...), nil },
	}, func(ctx context.Context, tx *sql.Tx, _ *hapax.Message) (hapax.Receipt, error) {
		_, err := tx.ExecContext(ctx, "UPDATE stock SET books = books - 1")
		return nil, err
	})
	if err != nil {
		log.Fatal(err)
	}
	defer orders.Close()

	for _, n := range []string{"1001", "1002", "1001"} {
		result, err := orders.Handle(context.Background(), &hapax.Message{Key: []byte(n)})
		fmt.Println(n, result.Outcome, err)
	}
	fmt.Println(number(db, "SELECT books FROM stock"), "books left")
	// Output:
	// 1001 executed <nil>
	// 1002 executed <nil>
	// 1001 replayed <nil>
	// 8 books left
}

// One row for each partition of a topic, instead of one for each message: what the
// broker delivers again is known by its offset. What a producer sent twice is not.
func ExampleByPosition() {
	db, remove := openShop("CREATE TABLE visits (n INTEGER); INSERT INTO visits VALUES (0)")
	defer remove()
	ctx := context.Background()

	marks, err := sqldb.ByPosition(db, sqldb.SQLite, sqldb.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := marks.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	visits, err := inbox.Transaction(marks, inbox.Options{Name: "visits", Identity: inbox.ByPosition, Window: inbox.Forever},
		func(ctx context.Context, tx *sql.Tx, _ *hapax.Message) (hapax.Receipt, error) {
			_, err := tx.ExecContext(ctx, "UPDATE visits SET n = n + 1")
			return nil, err
		})
	if err != nil {
		log.Fatal(err)
	}
	defer visits.Close()

	for _, offset := range []int64{0, 1, 2, 1, 2, 3} { // the consumer died before it committed offset 1
		result, err := visits.Handle(ctx, &hapax.Message{Position: hapax.Position{Source: "visits/0", Offset: offset}})
		fmt.Println(offset, result.Outcome, err)
	}
	fmt.Println(number(db, "SELECT n FROM visits"), "visits,", number(db, "SELECT count(*) FROM hapax_numbers"), "row of marks")
	// Output:
	// 0 executed <nil>
	// 1 executed <nil>
	// 2 executed <nil>
	// 1 replayed <nil>
	// 2 replayed <nil>
	// 3 executed <nil>
	// 4 visits, 1 row of marks
}

// Marks whose window is over are taken away by whoever likes: a job once an hour, in any
// number of processes.
func ExampleMarks_Sweep() {
	db, remove := openShop("")
	defer remove()
	ctx := context.Background()
	marks, err := sqldb.ByID(db, sqldb.SQLite, sqldb.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := marks.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	swept, err := marks.Sweep(ctx, 7*24*time.Hour)
	fmt.Println(swept.Rows, "rows,", err)
	// Output: 0 rows, <nil>
}
