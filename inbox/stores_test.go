package inbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/servertest"
)

// store is a real database, in which an inbox keeps its marks beside the effects.
type store struct {
	name       string
	dialect    sqldb.Dialect
	isolations []sql.IsolationLevel
	driver     string
	source     func(testing.TB) string
}

func stores() []store {
	all := []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable}
	return []store{
		{"sqlite", sqldb.SQLite, []sql.IsolationLevel{sql.LevelDefault}, "sqlite", func(tb testing.TB) string {
			return "file:" + filepath.Join(tb.TempDir(), "db") + "?_pragma=journal_mode(wal)&_pragma=synchronous(normal)"
		}},
		{"postgres", sqldb.Postgres, all, "pgx", servertest.Postgres},
		{"mariadb", sqldb.MariaDB, all, "mysql", servertest.MariaDB},
		{"mysql", sqldb.MySQL, all, "mysql", servertest.MySQL},
	}
}

// opened is one of them with a table of effects that nobody else uses.
type opened struct {
	*sql.DB
	store

	effects string
	marks   sqldb.Options
}

// each runs f for each database and isolation.
func each(t *testing.T, f func(*testing.T, opened)) {
	t.Helper()
	for _, s := range stores() {
		for _, isolation := range s.isolations {
			t.Run(fmt.Sprintf("%s, %v", s.name, isolation), func(t *testing.T) {
				db, err := sql.Open(s.driver, s.source(t))
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				own := fmt.Sprintf("inbox_%x", rand.Uint64())
				o := opened{db, s, own + "_effects", sqldb.Options{Table: own + "_marks", Isolation: isolation}}
				o.must(t, "CREATE TABLE "+o.effects+" (value VARCHAR(100))")
				defer func() {
					o.must(t, "DROP TABLE "+o.effects)
					o.must(t, "DROP TABLE IF EXISTS "+o.marks.Table)
				}()
				f(t, o)
			})
		}
	}
}

func (o *opened) must(t *testing.T, statement string) {
	t.Helper()
	if _, err := o.ExecContext(context.Background(), statement); err != nil {
		t.Fatal(err)
	}
}

// insert is an effect.
func (o *opened) insert(ctx context.Context, tx *sql.Tx, value string) error {
	// Values are this test's own: so there is one statement for all placeholders.
	_, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s VALUES ('%s')", o.effects, value))
	return err
}

// values are the effects.
func (o *opened) values(t *testing.T) (values []string) {
	t.Helper()
	rows, err := o.QueryContext(t.Context(), "SELECT value FROM "+o.effects)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

func migrated(t *testing.T, m *sqldb.Marks, err error) *sqldb.Marks {
	t.Helper()
	if err == nil {
		err = m.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// inbox makes an inbox over m whose handler inserts the message's value, and fails
// or panics at times.
func (o *opened) inbox(t *testing.T, m *sqldb.Marks, options inbox.Options, fails func() bool) *inbox.TxInbox[*sql.Tx] {
	t.Helper()
	in, err := inbox.Transaction(m, options, func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
		if err := o.insert(ctx, tx, string(m.Value)); err != nil {
			return nil, err
		}
		if fails() {
			return nil, errDeclined
		}
		return nil, nil
	}, inbox.Batched(func(ctx context.Context, tx *sql.Tx, ms []*hapax.Message) error {
		for _, m := range ms {
			if err := o.insert(ctx, tx, string(m.Value)); err != nil {
				return err
			}
		}
		if fails() {
			return errDeclined
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, in.Inbox) })
	return in
}

// TestS29OnceAtEveryIsolation hands copies of all messages to several workers, one by
// one and in batches, whose handlers fail at times, until all are acknowledged.
func TestS29OnceAtEveryIsolation(t *testing.T) {
	each(t, func(t *testing.T, db opened) {
		m, err := sqldb.ByID(db.DB, db.dialect, db.marks)
		o := options()
		o.Committed = 16
		var mu sync.Mutex
		rng := rand.New(rand.NewPCG(1, 2))
		chance := func() bool {
			mu.Lock()
			defer mu.Unlock()
			return rng.IntN(5) == 0
		}
		in := db.inbox(t, migrated(t, m, err), o, chance)
		const messages, workers = 40, 4
		var all sync.WaitGroup
		for range workers {
			all.Go(func() {
				var waiting []*hapax.Message
				var want []string
				for n := range messages {
					waiting = append(waiting, message(fmt.Sprint(n), fmt.Sprint(n)))
					want = append(want, fmt.Sprint(n))
				}
				for tries := 0; len(waiting) > 0 && tries < 1000; tries++ {
					some := waiting[:min(len(waiting), 7)]
					var left []*hapax.Message
					for i, h := range in.HandleBatch(t.Context(), some) {
						if a := h.Settle().Action; a == inbox.Retry || a == inbox.Stop {
							left = append(left, some[i])
						} else if a == inbox.DeadLetter {
							t.Errorf("%v, %v", h.Result.Outcome, h.Err)
						}
					}
					waiting = append(slices.Clone(waiting[len(some):]), left...)
				}
				if len(waiting) > 0 {
					t.Errorf("%d of %d were never acknowledged", len(waiting), len(want))
				}
			})
		}
		all.Wait()
		got := db.values(t)
		if slices.Sort(got); len(got) != messages || len(slices.Compact(got)) != messages {
			t.Errorf("effects %q of %d messages", got, messages)
		}
	})
}

// By position: in order, one at a time, with failures; each once.
func TestS06OncePerPositionInADatabase(t *testing.T) {
	each(t, func(t *testing.T, db opened) {
		m, err := sqldb.ByPosition(db.DB, db.dialect, db.marks)
		o := options()
		o.Identity = inbox.ByPosition
		rng := rand.New(rand.NewPCG(3, 4))
		in := db.inbox(t, migrated(t, m, err), o, func() bool { return rng.IntN(3) == 0 })
		const messages = 30
		for next := 0; next < messages; {
			var some []*hapax.Message
			for n := max(next-2, 0); n < min(next+5, messages); n++ { // two come again
				some = append(some, at("t", int64(n)))
			}
			for i, h := range in.HandleBatch(t.Context(), some) {
				if int(some[i].Position.Offset) == next && h.Settle().Action == inbox.Ack {
					next++
				}
			}
		}
		var rows int
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+db.marks.Table).Scan(&rows); err != nil || rows != 1 {
			t.Errorf("%d rows of one source, %v; want one", rows, err)
		}
		want := make([]string, messages)
		for n := range want {
			want[n] = fmt.Sprintf("t/%d", n)
		}
		if got := db.values(t); !slices.Equal(got, want) {
			t.Errorf("effects %q", got)
		}
	})
}

// A copy, and a conflict, in the caller's own transaction leave it usable.
func TestS25JoinedTransactionsInADatabase(t *testing.T) {
	each(t, func(t *testing.T, db opened) {
		m, err := sqldb.ByID(db.DB, db.dialect, db.marks)
		in := db.inbox(t, migrated(t, m, err), options(), func() bool { return false })
		for _, test := range []struct {
			m    *hapax.Message
			want hapax.Outcome
		}{
			{message("1", "a"), hapax.Executed}, {message("1", "a"), hapax.Replayed},
			{message("1", "b"), hapax.Conflicted}, {message("2", "b"), hapax.Executed},
		} {
			tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: db.marks.Isolation})
			if err != nil {
				t.Fatal(err)
			}
			r, err := in.HandleIn(t.Context(), tx, test.m)
			if r.Outcome != test.want {
				t.Errorf("%v, %v; want %v", r.Outcome, err, test.want)
			}
			if err := db.insert(t.Context(), tx, test.want.String()); err != nil {
				t.Error(err)
			}
			if err := tx.Commit(); err != nil {
				t.Error(err)
			}
		}
		if got := fmt.Sprint(db.values(t)); got != "[a executed replayed conflicted b executed]" {
			t.Errorf("effects %v", got)
		}
	})
}

// A handler that commits, or rolls back, the inbox's transaction is found out.
func TestS28AHandlerThatEndsItsTransactionInADatabase(t *testing.T) {
	each(t, func(t *testing.T, db opened) {
		m, err := sqldb.ByID(db.DB, db.dialect, db.marks)
		migrated(t, m, err)
		for _, commit := range []bool{true, false} {
			log, o := &lines{}, options()
			o.Name, o.Logger = fmt.Sprint(commit), log.logger()
			in, err := inbox.Transaction(m, o, func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
				if err := db.insert(ctx, tx, "x"); err != nil {
					return nil, err
				}
				if commit {
					return nil, tx.Commit()
				}
				return nil, tx.Rollback()
			})
			if err != nil {
				t.Fatal(err)
			}
			want := map[bool]hapax.Outcome{true: hapax.Executed, false: hapax.Doubtful}[commit]
			if r, err := in.Handle(t.Context(), message("1", "a")); r.Outcome != want {
				t.Errorf("commit %t: %v, %v; want %v", commit, r.Outcome, err, want)
			}
			if text := log.String(); !strings.Contains(text, "level=ERROR") {
				t.Errorf("commit %t: logged as\n%s", commit, text)
			}
			closed(t, in.Inbox)
		}
		if n := len(db.values(t)); n != 1 {
			t.Errorf("%d effects, want that of the handler that committed", n)
		}
	})
}

// A message that is named by an id would be lost over marks that know a number alone.
func TestMarksByNumberTakeNoIDs(t *testing.T) {
	db, err := sql.Open("sqlite", "file::memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // nothing is in it
	for name, open := range map[string]func(*sql.DB, sqldb.Dialect, sqldb.Options) (*sqldb.Marks, error){
		"position": sqldb.ByPosition, "sequence": sqldb.BySequence,
	} {
		marks, err := open(db, sqldb.SQLite, sqldb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = inbox.Transaction(marks, inbox.Options{Name: "n", Identity: "header:id", Window: inbox.Forever},
			func(context.Context, *sql.Tx, *hapax.Message) (hapax.Receipt, error) { return nil, nil })
		if err == nil {
			t.Errorf("by %s: an inbox names messages by a header", name)
		}
	}
}
