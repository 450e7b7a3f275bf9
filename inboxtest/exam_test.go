package inboxtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/internal/rehearsaltest"
)

// store is one that passes, but for what plant does to its marks.
func store(plant func(m *sqldb.Marks) hapax.Marks[*sql.Tx]) Store[*sql.Tx] {
	return Store[*sql.Tx]{
		Capabilities: Capabilities{Receipts: true, Digests: true, Operator: true},
		Message:      func(n int) hapax.Mark { return hapax.Mark{Scope: "exam", Identity: hapax.Identity(fmt.Sprint(n))} },
		TooLarge:     64<<10 + 1,
		Create: func(tb testing.TB) string {
			place := filepath.Join(tb.TempDir(), "db")
			db := openSQLite(tb, place)
			if _, err := db.Exec("PRAGMA journal_mode = wal; CREATE TABLE effects (name TEXT)"); err != nil {
				tb.Fatal(err)
			}
			m, err := sqldb.ByID(db, sqldb.SQLite, sqldb.Options{})
			if err != nil {
				tb.Fatal(err)
			}
			if err := m.Migrate(tb.Context()); err != nil {
				tb.Fatal(err)
			}
			return place
		},
		Open: func(tb testing.TB, c Connection) *Instance[*sql.Tx] {
			db := openSQLite(tb, c.Place)
			m, err := sqldb.ByID(db, sqldb.SQLite, sqldb.Options{Wait: c.Wait, Runs: 3})
			if err != nil {
				tb.Fatal(err)
			}
			return &Instance[*sql.Tx]{
				Marks: plant(m),
				Effect: func(ctx context.Context, tx *sql.Tx, key string) error {
					_, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (?)", key)
					return err
				},
				Effects:  func(ctx context.Context) (map[string]int, error) { return effects(ctx, db) },
				Begin:    func(ctx context.Context) (*sql.Tx, error) { return db.BeginTx(ctx, nil) },
				Commit:   func(_ context.Context, tx *sql.Tx) error { return tx.Commit() },
				Rollback: func(_ context.Context, tx *sql.Tx) error { return tx.Rollback() },
			}
		},
	}
}

func openSQLite(tb testing.TB, place string) *sql.DB {
	db, err := sql.Open("sqlite", "file:"+place)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func effects(ctx context.Context, db *sql.DB) (map[string]int, error) {
	counts := map[string]int{}
	rows, err := db.QueryContext(ctx, "SELECT name, count(*) FROM effects GROUP BY name")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
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

// faulty is a store with its own Mark, Keep or Transact.
type faulty struct {
	*sqldb.Marks
	mark     func(ctx context.Context, tx *sql.Tx, marks []hapax.Mark) error
	transact func(ctx context.Context, f func(context.Context, *sql.Tx) error) error
}

func (f faulty) Mark(ctx context.Context, tx *sql.Tx, marks []hapax.Mark) error {
	if f.mark == nil {
		return f.Marks.Mark(ctx, tx, marks)
	}
	return f.mark(ctx, tx, marks)
}

func (f faulty) Transact(ctx context.Context, g func(context.Context, *sql.Tx) error) error {
	if f.transact == nil {
		return f.Marks.Transact(ctx, g)
	}
	return f.transact(ctx, g)
}

// stubborn lets no mark go.
type stubborn struct{ *sqldb.Marks }

func (s stubborn) Expire(ctx context.Context, scope hapax.Scope, id hapax.Identity) (bool, error) {
	c, err := s.Look(ctx, scope, id)
	return c.Verdict == hapax.Duplicate, err
}

// planted is a fault, and the check that must find it.
type planted struct {
	fault string
	check func(*sitting[*sql.Tx])
	plant func(m *sqldb.Marks) hapax.Marks[*sql.Tx]
}

// marking are faults of Mark.
func marking() []planted {
	return []planted{
		{"marks in a transaction of their own", failures[*sql.Tx], func(m *sqldb.Marks) hapax.Marks[*sql.Tx] {
			return faulty{m, func(ctx context.Context, _ *sql.Tx, marks []hapax.Mark) error {
				return m.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error { return m.Mark(ctx, tx, marks) })
			}, nil}
		}},
		{"looks, and marks later", copies[*sql.Tx], func(m *sqldb.Marks) hapax.Marks[*sql.Tx] {
			return faulty{m, func(ctx context.Context, tx *sql.Tx, marks []hapax.Mark) error {
				for i := range marks {
					one := []hapax.Mark{marks[i]}
					one[0].Scope += hapax.Scope(fmt.Sprint(i))
					if err := m.Mark(ctx, tx, one); err != nil {
						return err
					}
					marks[i].Verdict = one[0].Verdict
				}
				return nil
			}, nil}
		}},
		{"forgets scopes", scopes[*sql.Tx], func(m *sqldb.Marks) hapax.Marks[*sql.Tx] {
			return faulty{m, func(ctx context.Context, tx *sql.Tx, marks []hapax.Mark) error {
				for i := range marks {
					marks[i].Scope = ""
				}
				return m.Mark(ctx, tx, marks)
			}, nil}
		}},
		{"compares no digests", conflict[*sql.Tx], func(m *sqldb.Marks) hapax.Marks[*sql.Tx] {
			return faulty{m, func(ctx context.Context, tx *sql.Tx, marks []hapax.Mark) error {
				for i := range marks {
					marks[i].Digest = 0
				}
				return m.Mark(ctx, tx, marks)
			}, nil}
		}},
		{"gives no receipts", receipt[*sql.Tx], func(m *sqldb.Marks) hapax.Marks[*sql.Tx] {
			return faulty{m, func(ctx context.Context, tx *sql.Tx, marks []hapax.Mark) error {
				err := m.Mark(ctx, tx, marks)
				for i := range marks {
					marks[i].Receipt = nil
				}
				return err
			}, nil}
		}},
		{"lets no mark go", operated[*sql.Tx], func(m *sqldb.Marks) hapax.Marks[*sql.Tx] { return stubborn{m} }},
		{"ends the transaction on a copy in flight", join[*sql.Tx], func(m *sqldb.Marks) hapax.Marks[*sql.Tx] {
			return faulty{m, func(ctx context.Context, tx *sql.Tx, marks []hapax.Mark) error {
				err := m.Mark(ctx, tx, marks)
				if errors.Is(err, hapax.ErrInFlight) {
					_ = tx.Rollback()
				}
				return err
			}, nil}
		}},
	}
}

// transacting are faults of Transact.
func transacting() []planted {
	return []planted{
		{"takes an ended transaction for a committed one", ended[*sql.Tx], func(m *sqldb.Marks) hapax.Marks[*sql.Tx] {
			return faulty{m, nil, func(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
				if err := m.Transact(ctx, f); !errors.Is(err, hapax.ErrUnknown) {
					return err
				}
				return nil
			}}
		}},
		{"commits what failed", mixed[*sql.Tx], func(m *sqldb.Marks) hapax.Marks[*sql.Tx] {
			return faulty{m, nil, func(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
				var failed error
				err := m.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
					failed = f(ctx, tx)
					return nil
				})
				return errors.Join(failed, err)
			}}
		}},
	}
}

// TestExamFindsFaults plants the faults that hand-written inboxes have, one at a time.
func TestExamFindsFaults(t *testing.T) {
	for _, p := range append(marking(), transacting()...) {
		t.Run(p.fault, func(t *testing.T) {
			p.check(&sitting[*sql.Tx]{TB: t, store: store(func(m *sqldb.Marks) hapax.Marks[*sql.Tx] { return m })})
			r := rehearsaltest.Run(t, func(tb testing.TB) { p.check(&sitting[*sql.Tx]{TB: tb, store: store(p.plant)}) })
			if !r.Failed() {
				t.Error("the exam did not find it")
			}
		})
	}
}

// TestExamOf: the names of exams are found below levels of isolation, and above.
func TestExamOf(t *testing.T) {
	for name, want := range map[string]string{
		"TestMarks/a_check":                           "TestMarks",
		"TestMarks/pgx/id/a_check":                    "TestMarks/pgx/id",
		"TestMarks/pgx/id/Repeatable_Read/a_check":    "TestMarks/pgx/id",
		"TestMarks/Serializable/Serializable/a_check": "TestMarks/Serializable",
	} {
		if got := examOf(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
