package sqldb_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/inboxtest"
)

// form is a kind of marks under exam.
type form struct {
	name         string
	capabilities inboxtest.Capabilities
	table        string
	make         func(r room, db *sql.DB, o sqldb.Options) (*sqldb.Marks, error)
	message      func(n int) hapax.Mark
	only         []string // databases; nil: all
	levels       int      // of isolation, at most; 0: all
}

// on tells whether a form is examined on a database.
func (f form) on(d database) bool { return f.only == nil || slices.Contains(f.only, d.name) }

func forms() []form {
	all := inboxtest.Capabilities{Receipts: true, Digests: true, Operator: true}
	return []form{
		{name: "id", capabilities: all, table: "inbox", make: byID},
		{
			name: "partitions", capabilities: all, table: "inbox", only: []string{"pgx"},
			make: func(r room, db *sql.DB, o sqldb.Options) (*sqldb.Marks, error) {
				o.Span = time.Hour
				return byID(r, db, o)
			},
			message: func(n int) hapax.Mark {
				edge := hour().Add(-time.Duration(n%2) * time.Microsecond) // on both sides of a partition's start
				return hapax.Mark{Scope: "exam", Identity: hapax.Identity(fmt.Sprint(n)), Time: edge}
			},
		},
		{
			name: "position", table: "numbers", only: []string{"pgx", "mariadb", "mysql", "sqlite"},
			make: func(r room, db *sql.DB, o sqldb.Options) (*sqldb.Marks, error) {
				return sqldb.ByPosition(db, r.dialect, o)
			},
			message: func(n int) hapax.Mark {
				return hapax.Mark{Scope: "exam", Position: hapax.Position{Source: "orders/7", Offset: int64(n)}}
			},
		},
		{
			name: "sequence", table: "numbers", only: []string{"pgx", "mariadb", "sqlite"}, levels: 1, // as positions
			make: func(r room, db *sql.DB, o sqldb.Options) (*sqldb.Marks, error) {
				return sqldb.BySequence(db, r.dialect, o)
			},
			message: func(n int) hapax.Mark {
				return hapax.Mark{Scope: "exam", Sequence: hapax.Sequence{Producer: hapax.Identity("p"), Epoch: 3, Number: uint64(n)}}
			},
		},
		{
			name: "own", table: "orders", levels: 1, // the statement is ours, not the package's
			make: func(r room, db *sql.DB, o sqldb.Options) (*sqldb.Marks, error) {
				return sqldb.ByOwn(db, r.dialect, r.order, o)
			},
		},
	}
}

const hourVariable = "HAPAX_SQLDB_TEST_HOUR"

// TestMain fixes the hour of the messages for this process and those it starts.
func TestMain(m *testing.M) {
	if os.Getenv(hourVariable) == "" {
		if err := os.Setenv(hourVariable, time.Now().Truncate(time.Hour).Format(time.RFC3339)); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func hour() time.Time {
	at, err := time.Parse(time.RFC3339, os.Getenv(hourVariable))
	if err != nil {
		panic(err)
	}
	return at
}

func byID(r room, db *sql.DB, o sqldb.Options) (*sqldb.Marks, error) {
	return sqldb.ByID(db, r.dialect, o)
}

// order marks a message by the table of orders.
func (r room) order(ctx context.Context, tx *sql.Tx, m *hapax.Mark) (bool, error) {
	statement := map[sqldb.Dialect]string{
		sqldb.Postgres: "INSERT INTO %s VALUES ($1) ON CONFLICT DO NOTHING",
		sqldb.MariaDB:  "INSERT IGNORE INTO %s VALUES (?)",
		sqldb.MySQL:    "INSERT IGNORE INTO %s VALUES (?)",
		sqldb.SQLite:   "INSERT INTO %s VALUES (?) ON CONFLICT DO NOTHING",
	}[r.dialect]
	done, err := tx.ExecContext(ctx, fmt.Sprintf(statement, r.table("orders")), []byte(string(m.Scope)+"/"+string(m.Identity)))
	if err != nil {
		return false, err
	}
	rows, err := done.RowsAffected()
	return rows == 1, err
}

func TestMarks(t *testing.T) {
	t.Parallel()
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			for _, f := range forms() {
				if f.on(d) {
					t.Run(f.name, func(t *testing.T) { inboxtest.RunMarks(t, store(d, f)) })
				}
			}
		})
	}
}

func store(d database, f form) inboxtest.Store[*sql.Tx] {
	levels := d.levels
	if f.levels > 0 {
		levels = levels[:min(f.levels, len(levels))]
	}
	return inboxtest.Store[*sql.Tx]{
		Capabilities: f.capabilities, Isolations: levels, Address: d.address, Message: f.message, TooLarge: 64<<10 + 1,
		Create: func(tb testing.TB) string {
			r := d.create(tb)
			db := r.open(tb, "")
			r.effects(tb, db)
			if f.name == "own" {
				execute(tb, db, "CREATE TABLE "+r.table("orders")+" (id "+r.bytes+" NOT NULL PRIMARY KEY)")
				return r.name
			}
			m, err := f.make(r, db, sqldb.Options{Table: r.table(f.table)})
			if err != nil {
				tb.Fatal(err)
			}
			if err := m.Migrate(tb.Context()); err != nil {
				tb.Fatal(err)
			}
			if f.name == "partitions" {
				if _, err := m.Sweep(tb.Context(), 4*time.Hour); err != nil {
					tb.Fatal(err)
				}
			}
			return r.name
		},
		Open: func(tb testing.TB, c inboxtest.Connection) *inboxtest.Instance[*sql.Tx] {
			return open(tb, room{d, c.Place}, f, c)
		},
	}
}

func open(tb testing.TB, r room, f form, c inboxtest.Connection) *inboxtest.Instance[*sql.Tx] {
	db := r.open(tb, c.Address)
	o := sqldb.Options{Table: r.table(f.table), Isolation: c.Isolation, Wait: c.Wait}
	m, err := f.make(r, db, o)
	if err != nil {
		tb.Fatal(err)
	}
	i := &inboxtest.Instance[*sql.Tx]{
		Marks:    m,
		Effect:   r.effect,
		Effects:  func(ctx context.Context) (map[string]int, error) { return r.count(ctx, db) },
		Begin:    func(ctx context.Context) (*sql.Tx, error) { return db.BeginTx(ctx, nil) },
		Commit:   func(_ context.Context, tx *sql.Tx) error { return tx.Commit() },
		Rollback: func(_ context.Context, tx *sql.Tx) error { return tx.Rollback() },
		Rerun:    sqldb.Rerun,
	}
	if r.clash != "" {
		i.Clash = func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, r.clash)
			return err
		}
	}
	if f.name == "id" {
		i.Sweep = func(ctx context.Context, window time.Duration) (int64, error) {
			swept, err := m.Sweep(ctx, window)
			return swept.Rows, err
		}
		i.Age = func(ctx context.Context, d time.Duration) error {
			_, err := db.ExecContext(ctx, fmt.Sprintf(map[sqldb.Dialect]string{
				sqldb.Postgres: "UPDATE %s SET marked = marked - make_interval(secs => %v)",
				sqldb.MariaDB:  "UPDATE %s SET marked = marked - INTERVAL %v SECOND",
				sqldb.MySQL:    "UPDATE %s SET marked = marked - INTERVAL %v SECOND",
				sqldb.SQLite:   "UPDATE %s SET marked = marked - %v",
			}[r.dialect], r.table("inbox"), d.Seconds()))
			return err
		}
	}
	return i
}
