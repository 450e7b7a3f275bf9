package sqldb_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/internal/servertest"
)

// database is one that tests speak to, by one driver.
type database struct {
	name    string
	dialect sqldb.Dialect
	levels  []sql.IsolationLevel
	address string // of the server
	driver  string
	source  func(tb testing.TB) string

	clash string // a statement that the database can't serialise
	bytes string // the type of a column of bytes
}

// everywhere runs a test in a room of its own of each database.
func everywhere(t *testing.T, f func(t *testing.T, r room, db *sql.DB)) {
	t.Helper()
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			r := d.create(t)
			f(t, r, r.open(t, ""))
		})
	}
}

func databases() []database {
	levels := []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable}
	postgres := database{
		dialect: sqldb.Postgres, levels: levels, address: "127.0.0.1:54329",
		source: func(tb testing.TB) string { return servertest.Postgres(tb) + "&synchronous_commit=off" }, // no server is killed
		clash:  `DO 'BEGIN RAISE EXCEPTION SQLSTATE ''40001''; END'`, bytes: "bytea",
	}
	pgx, pq := postgres, postgres
	pgx.name, pgx.driver = "pgx", "pgx"
	pq.name, pq.driver, pq.levels = "pq", "postgres", levels[:1]
	return []database{
		pgx, pq,
		{
			name: "mariadb", driver: "mysql", dialect: sqldb.MariaDB, levels: levels, address: "127.0.0.1:33069",
			source: servertest.MariaDB, clash: "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213", bytes: "VARBINARY(200)",
		},
		{
			name: "mysql", driver: "mysql", dialect: sqldb.MySQL, levels: levels, address: "127.0.0.1:33079",
			source: servertest.MySQL, clash: "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213", bytes: "VARBINARY(200)",
		},
		{
			name: "sqlite", driver: "sqlite", dialect: sqldb.SQLite, levels: []sql.IsolationLevel{sql.LevelSerializable}, bytes: "BLOB",
			source: func(tb testing.TB) string { return "" },
		},
	}
}

// room is a place in a database whose tables are a test's own.
type room struct {
	database
	name string // of the tables, or the file of SQLite
}

// create makes a name that nobody uses, and has it removed.
func (d database) create(tb testing.TB) room {
	tb.Helper()
	if d.dialect == sqldb.SQLite {
		r := room{d, filepath.Join(tb.TempDir(), "db")}
		execute(tb, r.open(tb, ""), "PRAGMA journal_mode = wal") // the file keeps it
		return r
	}
	r := room{d, fmt.Sprintf("t%08x", rand.Uint32())}
	db := r.open(tb, "")
	tb.Cleanup(func() {
		for _, kind := range []string{"inbox", "inbox_horizon", "numbers", "claims", "outbox", "outbox_ids", "outbox_relays", "effects", "orders"} {
			if _, err := db.Exec("DROP TABLE IF EXISTS " + r.table(kind)); err != nil {
				tb.Error(err)
			}
		}
	})
	return r
}

func (r room) table(kind string) string {
	if strings.Contains(r.name, "/") { // a file of the test's own
		return kind
	}
	return r.name + "_" + kind
}

// open opens the room's database, at another address if there is one.
func (r room) open(tb testing.TB, address string) *sql.DB {
	tb.Helper()
	source := r.source(tb)
	if address != "" {
		source = strings.Replace(source, r.address, address, 1)
	}
	db, err := r.connect(source)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// connect opens the room's database by its source.
func (r room) connect(source string) (*sql.DB, error) {
	if r.dialect == sqldb.SQLite {
		source = "file:" + r.name + "?_pragma=synchronous(off)" // no machine is killed
	}
	db, err := sql.Open(r.driver, source)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(24)
	db.SetMaxIdleConns(24)
	return db, nil
}

// effects makes the table of effects.
func (r room) effects(tb testing.TB, db *sql.DB) {
	tb.Helper()
	execute(tb, db, "CREATE TABLE "+r.table("effects")+" (name VARCHAR(80) NOT NULL)")
}

func (r room) placeholder() string {
	if r.dialect == sqldb.Postgres {
		return "$1"
	}
	return "?"
}

func (r room) effect(ctx context.Context, tx *sql.Tx, key string) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO "+r.table("effects")+" VALUES ("+r.placeholder()+")", key)
	return err
}

func (r room) count(ctx context.Context, db *sql.DB) (map[string]int, error) {
	rows, err := db.QueryContext(ctx, "SELECT name, count(*) FROM "+r.table("effects")+" GROUP BY name")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	counts := map[string]int{}
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name, &n); err != nil {
			return nil, err
		}
		counts[name] = n
	}
	return counts, rows.Err()
}

// executor is a database or a transaction.
type executor interface {
	Exec(statement string, args ...any) (sql.Result, error)
}

func execute(tb testing.TB, db executor, statement string, args ...any) {
	tb.Helper()
	if _, err := db.Exec(statement, args...); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}
