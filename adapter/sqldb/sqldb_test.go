package sqldb_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"slices"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/internal/servertest"
)

// database opens what a driver and a dialect speak to.
type database struct {
	name    string
	dialect sqldb.Dialect
	open    func(tb testing.TB) *sql.DB
}

func databases() []database {
	return []database{
		{"sqlite", sqldb.SQLite, func(tb testing.TB) *sql.DB {
			return open(tb, "sqlite", "file:"+filepath.Join(tb.TempDir(), "db")+"?_pragma=journal_mode(wal)")
		}},
		{"pgx", sqldb.Postgres, func(tb testing.TB) *sql.DB { return open(tb, "pgx", servertest.Postgres(tb)) }},
		{"mariadb", sqldb.MariaDB, func(tb testing.TB) *sql.DB { return open(tb, "mysql", servertest.MariaDB(tb)) }},
	}
}

func open(tb testing.TB, driver, source string) *sql.DB {
	tb.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func TestBatchWithCopies(t *testing.T) {
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			db := d.open(t)
			m, err := sqldb.ByID(db, d.dialect, sqldb.Options{Table: "sqldb_batch"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _, _ = db.Exec("DROP TABLE sqldb_batch") })
			if err := m.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, want := range [][]hapax.Verdict{
				{hapax.Fresh, hapax.Fresh, hapax.Duplicate, hapax.Conflict},
				{hapax.Duplicate, hapax.Duplicate, hapax.Duplicate, hapax.Conflict},
			} {
				marks := []hapax.Mark{mark("a", 4), mark("b", 0), mark("a", 4), mark("a", 5)}
				err := m.Transact(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return m.Mark(ctx, tx, marks) })
				if err != nil {
					t.Fatal(err)
				}
				var got []hapax.Verdict
				for _, m := range marks {
					got = append(got, m.Verdict)
				}
				if !slices.Equal(got, want) {
					t.Errorf("verdicts %v, want %v", got, want)
				}
			}
		})
	}
}

func mark(id string, digest hapax.Digest) hapax.Mark {
	return hapax.Mark{Scope: "test", Identity: hapax.Identity(id), Digest: digest}
}
