package pgxdb_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/inboxtest"
	"github.com/hapaxmq/hapax/internal/servertest"
)

const address = "127.0.0.1:54329"

func TestMarks(t *testing.T) {
	t.Parallel()
	levels := []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable}
	t.Run("id", func(t *testing.T) {
		t.Parallel()
		inboxtest.RunMarks(t, inboxtest.Store[pgx.Tx]{
			Capabilities: inboxtest.Capabilities{Receipts: true, Digests: true, Operator: true},
			Create:       create, Open: byID, Isolations: levels, Address: address, TooLarge: 64<<10 + 1,
		})
	})
	t.Run("position", func(t *testing.T) {
		t.Parallel()
		inboxtest.RunMarks(t, inboxtest.Store[pgx.Tx]{
			Create: create, Open: byPosition, Isolations: levels[:1], Address: address, TooLarge: 1,
			Message: func(n int) hapax.Mark {
				return hapax.Mark{Scope: "exam", Position: hapax.Position{Source: "orders/7", Offset: int64(n)}}
			},
		})
	})
	t.Run("own", func(t *testing.T) {
		t.Parallel()
		inboxtest.RunMarks(t, inboxtest.Store[pgx.Tx]{
			Create: create, Open: byOwn, Isolations: levels, Address: address, TooLarge: 1,
		})
	})
}

func connect(tb testing.TB, at string) *pgxpool.Pool {
	tb.Helper()
	source := servertest.Postgres(tb) + "&synchronous_commit=off" // no server is killed
	if at != "" {
		source = strings.Replace(source, address, at, 1)
	}
	config, err := pgxpool.ParseConfig(source)
	if err != nil {
		tb.Fatal(err)
	}
	config.MaxConns = 24
	pool, err := pgxpool.NewWithConfig(tb.Context(), config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

// create makes a schema of the test's own with all tables.
func create(tb testing.TB) string {
	schema, pool := fmt.Sprintf("p%08x", rand.Uint32()), connect(tb, "")
	tb.Cleanup(func() {
		if _, err := pool.Exec(context.Background(), "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			tb.Error(err)
		}
	})
	_, err := pool.Exec(tb.Context(), fmt.Sprintf("CREATE SCHEMA %[1]s; CREATE TABLE %[1]s.effects (name text NOT NULL);"+
		"CREATE TABLE %[1]s.orders (id text NOT NULL PRIMARY KEY)", schema))
	if err != nil {
		tb.Fatal(err)
	}
	ids, err := pgxdb.ByID(pool, pgxdb.Options{Table: schema + ".inbox"})
	if err != nil {
		tb.Fatal(err)
	}
	positions, err := pgxdb.ByPosition(pool, pgxdb.Options{Table: schema + ".positions"})
	if err != nil {
		tb.Fatal(err)
	}
	for _, m := range []*pgxdb.Marks{ids, positions} {
		if err := m.Migrate(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
	return schema
}

func byID(tb testing.TB, c inboxtest.Connection) *inboxtest.Instance[pgx.Tx] {
	pool, o := connect(tb, c.Address), options(c, "inbox")
	m, err := pgxdb.ByID(pool, o)
	i := instance(tb, pool, m, err, c)
	i.Sweep = func(ctx context.Context, window time.Duration) (int64, error) {
		swept, err := m.Sweep(ctx, window)
		return swept.Rows, err
	}
	i.Age = func(ctx context.Context, d time.Duration) error {
		_, err := pool.Exec(ctx, "UPDATE "+o.Table+" SET marked = marked - $1::interval", d)
		return err
	}
	return i
}

func byPosition(tb testing.TB, c inboxtest.Connection) *inboxtest.Instance[pgx.Tx] {
	pool := connect(tb, c.Address)
	m, err := pgxdb.ByPosition(pool, options(c, "positions"))
	return instance(tb, pool, m, err, c)
}

func byOwn(tb testing.TB, c inboxtest.Connection) *inboxtest.Instance[pgx.Tx] {
	pool := connect(tb, c.Address)
	m, err := pgxdb.ByOwn(pool, func(ctx context.Context, tx pgx.Tx, m *hapax.Mark) (bool, error) {
		tag, err := tx.Exec(ctx, "INSERT INTO "+c.Place+".orders VALUES ($1) ON CONFLICT DO NOTHING", string(m.Scope)+"/"+string(m.Identity))
		return tag.RowsAffected() == 1, err
	}, options(c, "orders"))
	return instance(tb, pool, m, err, c)
}

func options(c inboxtest.Connection, table string) pgxdb.Options {
	levels := map[sql.IsolationLevel]pgx.TxIsoLevel{
		sql.LevelReadCommitted: pgx.ReadCommitted, sql.LevelRepeatableRead: pgx.RepeatableRead, sql.LevelSerializable: pgx.Serializable,
	}
	return pgxdb.Options{Table: c.Place + "." + table, Wait: c.Wait, Tx: pgx.TxOptions{IsoLevel: levels[c.Isolation]}}
}

func instance(tb testing.TB, pool *pgxpool.Pool, m *pgxdb.Marks, err error, c inboxtest.Connection) *inboxtest.Instance[pgx.Tx] {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	return &inboxtest.Instance[pgx.Tx]{
		Marks: m,
		Effect: func(ctx context.Context, tx pgx.Tx, key string) error {
			_, err := tx.Exec(ctx, "INSERT INTO "+c.Place+".effects VALUES ($1)", key)
			return err
		},
		Effects: func(ctx context.Context) (map[string]int, error) {
			counts := map[string]int{}
			rows, err := pool.Query(ctx, "SELECT name, count(*) FROM "+c.Place+".effects GROUP BY name")
			if err != nil {
				return nil, err
			}
			var name string
			var n int
			_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error {
				counts[name] = n
				return nil
			})
			return counts, err
		},
		Begin:    func(ctx context.Context) (pgx.Tx, error) { return pool.Begin(ctx) },
		Commit:   func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) },
		Rollback: func(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) },
		Clash: func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `DO 'BEGIN RAISE EXCEPTION SQLSTATE ''40P01''; END'`)
			return err
		},
		Rerun: pgxdb.Rerun,
	}
}
