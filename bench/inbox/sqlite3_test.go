package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/inboxtest"
	"github.com/hapaxmq/hapax/ledgertest"
)

// The driver mattn/go-sqlite3 needs a C compiler, so it sits the exams of adapter/sqldb here:
// there SQLite's driver is modernc.org/sqlite.

// marks are kinds of marks under exam.
var marks = map[string]func(*sql.DB, sqldb.Options) (*sqldb.Marks, error){
	"id":       func(db *sql.DB, o sqldb.Options) (*sqldb.Marks, error) { return sqldb.ByID(db, sqldb.SQLite, o) },
	"position": func(db *sql.DB, o sqldb.Options) (*sqldb.Marks, error) { return sqldb.ByPosition(db, sqldb.SQLite, o) },
}

func TestSQLite3Marks(t *testing.T) {
	for name, form := range marks {
		t.Run(name, func(t *testing.T) {
			s := inboxtest.Store[*sql.Tx]{
				Isolations: []sql.IsolationLevel{sql.LevelSerializable},
				TooLarge:   64<<10 + 1,
				Create: func(tb testing.TB) string {
					place := filepath.Join(tb.TempDir(), "db")
					db := openSQLite3(tb, place)
					if _, err := db.Exec("CREATE TABLE effects (name TEXT NOT NULL)"); err != nil {
						tb.Fatal(err)
					}
					m, err := form(db, sqldb.Options{})
					if err == nil {
						err = m.Migrate(tb.Context())
					}
					if err != nil {
						tb.Fatal(err)
					}
					return place
				},
				Open: func(tb testing.TB, c inboxtest.Connection) *inboxtest.Instance[*sql.Tx] {
					db := openSQLite3(tb, c.Place)
					m, err := form(db, sqldb.Options{Isolation: c.Isolation, Wait: c.Wait})
					if err != nil {
						tb.Fatal(err)
					}
					return &inboxtest.Instance[*sql.Tx]{
						Marks: m, Rerun: sqldb.Rerun,
						Effect: func(ctx context.Context, tx *sql.Tx, key string) error {
							_, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (?)", key)
							return err
						},
						Effects:  func(ctx context.Context) (map[string]int, error) { return countEffects(ctx, db) },
						Begin:    func(ctx context.Context) (*sql.Tx, error) { return db.BeginTx(ctx, nil) },
						Commit:   func(_ context.Context, tx *sql.Tx) error { return tx.Commit() },
						Rollback: func(_ context.Context, tx *sql.Tx) error { return tx.Rollback() },
					}
				},
			}
			if name == "id" {
				s.Capabilities = inboxtest.Capabilities{Receipts: true, Digests: true, Operator: true}
			} else {
				s.Message = func(n int) hapax.Mark {
					return hapax.Mark{Scope: "exam", Position: hapax.Position{Source: "orders/7", Offset: int64(n)}}
				}
			}
			inboxtest.RunMarks(t, s)
		})
	}
}

func TestSQLite3Ledger(t *testing.T) {
	home := filepath.Join(t.TempDir(), "db")
	db := openSQLite3(t, home)
	ledgertest.RunLedger(t, ledgertest.Factory{
		Capabilities: ledgertest.Capabilities{
			Durable: true, ServerClock: true, FencedWrites: true, Receipts: true, Digests: true, Retries: true, Batches: true, Operator: true,
		},
		New: func(tb testing.TB, window time.Duration) *ledgertest.Instance {
			o := sqldb.LedgerOptions{Window: window, MaxReceipt: 4096, Table: fmt.Sprintf("t%08x_claims", rand.Uint32())}
			current := openLedger3(tb, db, o)
			return &ledgertest.Instance{
				Ledger: current, MaxReceipt: o.MaxReceipt, TooLarge: hapax.ErrReceiptSize,
				Skewed: ledgertest.InAnotherTime(tb, func(tb testing.TB) hapax.Ledger { return openLedger3(tb, openSQLite3(tb, home), o) }),
				Close:  func() error { return current.Close() },
				Reopen: func() (hapax.Ledger, error) {
					_ = current.Close()
					current = openLedger3(tb, db, o)
					return current, nil
				},
			}
		},
	})
}

func TestSQLite3Shared(t *testing.T) {
	ledgertest.RunShared(t, ledgertest.Shared{
		Create: func(tb testing.TB) string {
			place := filepath.Join(tb.TempDir(), "db")
			openLedger3(tb, openSQLite3(tb, place), sqldb.LedgerOptions{Window: time.Hour})
			return place
		},
		Open: func(tb testing.TB, place, _ string) hapax.Ledger {
			return openLedger3(tb, openSQLite3(tb, place), sqldb.LedgerOptions{Window: time.Hour})
		},
	})
}

func openSQLite3(tb testing.TB, place string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite3", "file:"+place+"?_journal_mode=WAL&_synchronous=OFF") // no machine is killed
	if err != nil {
		tb.Fatal(err)
	}
	db.SetMaxOpenConns(24)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func openLedger3(tb testing.TB, db *sql.DB, o sqldb.LedgerOptions) *sqldb.Ledger {
	tb.Helper()
	l, err := sqldb.NewLedger(db, sqldb.SQLite, o)
	if err == nil {
		err = l.Migrate(tb.Context())
	}
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func countEffects(ctx context.Context, db *sql.DB) (map[string]int, error) {
	rows, err := db.QueryContext(ctx, "SELECT name, count(*) FROM effects GROUP BY name")
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
