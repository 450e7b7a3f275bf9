package pgxdb_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/pgxdb"
)

// writer counts what is sent at once.
type writer struct {
	net.Conn
	n *atomic.Int64
}

func (w writer) Write(b []byte) (int, error) {
	w.n.Add(1)
	return w.Conn.Write(b)
}

// single is a pool of one connection, which counts what is sent.
func single(t *testing.T) (*pgxpool.Pool, *atomic.Int64) {
	t.Helper()
	sent := new(atomic.Int64)
	return changed(t, func(c *pgxpool.Config) {
		dial := c.ConnConfig.DialFunc
		c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			return writer{conn, sent}, err
		}
	}), sent
}

// changed is a pool of one connection, of settings that were changed.
func changed(t *testing.T, change func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config := connect(t, "").Config()
	config.MaxConns = 1
	change(config)
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// transact runs f in a transaction on a connection of its own.
func transact(t *testing.T, pool *pgxpool.Pool, f func(context.Context, pgx.Tx) error) error {
	t.Helper()
	m, err := pgxdb.ByID(pool, pgxdb.Options{Tx: pgx.TxOptions{IsoLevel: pgx.RepeatableRead}})
	if err != nil {
		t.Fatal(err)
	}
	return m.Transact(t.Context(), f)
}

// A transaction, its mark, its effect and its commit are three round trips.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	schema := create(t)
	pool, sent := single(t)
	m, err := pgxdb.ByID(pool, pgxdb.Options{Table: schema + ".inbox"})
	if err != nil {
		t.Fatal(err)
	}
	for run, id := range []string{"prepares statements", "a", "b"} {
		before := sent.Load()
		marks := []hapax.Mark{{Scope: "exam", Identity: hapax.Identity(id)}}
		err := m.Transact(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			if err := m.Mark(ctx, tx, marks); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "INSERT INTO "+schema+".effects VALUES ($1)", id)
			return err
		})
		if err != nil || marks[0].Verdict != hapax.Fresh {
			t.Fatal(marks[0].Verdict, err)
		}
		if n := sent.Load() - before; run > 0 && n != 3 {
			t.Errorf("%s: sent %d times", id, n)
		}
	}
}

// use is a use of a transaction.
type use = func(context.Context, pgx.Tx) error

// uses are all that a transaction can be used for first.
var uses = map[string]use{
	"nothing": func(context.Context, pgx.Tx) error { return nil },
	"exec": func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT $1::int", 1)
		return err
	},
	"exec of two": func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT 1; SELECT 2")
		return err
	},
	"exec with an option": func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT $1::int", pgx.QueryExecModeExec, 1)
		return err
	},
	"exec with names": func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT @a::int", pgx.NamedArgs{"a": 1})
		return err
	},
	"query": func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "SELECT 1")
		rows.Close()
		return err
	},
	"query of a row": func(ctx context.Context, tx pgx.Tx) error { return tx.QueryRow(ctx, "SELECT 1").Scan(new(int)) },
	"batch": func(ctx context.Context, tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue("SELECT 1")
		return tx.SendBatch(ctx, b).Close()
	},
	"copy": func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", "t"}, []string{"n"}, pgx.CopyFromRows([][]any{{int32(1)}}))
		return err
	},
	"prepare": func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Prepare(ctx, "one", "SELECT 1")
		return err
	},
	"savepoint": func(ctx context.Context, tx pgx.Tx) error {
		nested, err := tx.Begin(ctx)
		if err != nil {
			return err
		}
		return nested.Commit(ctx)
	},
	"large object": func(ctx context.Context, tx pgx.Tx) error {
		objects := tx.LargeObjects()
		id, err := objects.Create(ctx, 0)
		return errors.Join(err, objects.Unlink(ctx, id))
	},
	"connection": func(ctx context.Context, tx pgx.Tx) error {
		if status := tx.Conn().PgConn().TxStatus(); status != 'T' {
			return fmt.Errorf("status %q", status)
		}
		return nil
	},
}

// Whatever comes first in a transaction is in it, and at its level of isolation.
func TestFirstStatement(t *testing.T) {
	t.Parallel()
	for name, f := range uses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, _ := single(t)
			if _, err := pool.Exec(t.Context(), "CREATE TEMP TABLE t (n int)"); err != nil {
				t.Fatal(err)
			}
			err := transact(t, pool, func(ctx context.Context, tx pgx.Tx) error {
				if err := f(ctx, tx); err != nil {
					return err
				}
				var level string
				if err := tx.QueryRow(ctx, "SHOW transaction_isolation").Scan(&level); err != nil || level != "repeatable read" {
					t.Error(level, err)
				}
				_, err := tx.Exec(ctx, "INSERT INTO t VALUES (7)")
				if status := tx.Conn().PgConn().TxStatus(); status != 'T' {
					t.Errorf("status %q", status)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			var n int
			if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM t WHERE n = 7").Scan(&n); err != nil || n != 1 {
				t.Error(n, err)
			}
		})
	}
}

// What the first statement meets, or the beginning with it, is no commit.
func TestFirstStatementFails(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"sent alone":   "SELECT 1/0",
		"with BEGIN":   "SELECT 1/($1::int-$1::int)",
		"not prepared": "SELECT $1::int FROM nowhere",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, _ := single(t)
			err := transact(t, pool, func(ctx context.Context, tx pgx.Tx) error {
				var args []any
				if name != "sent alone" {
					args = append(args, 1)
				}
				var failed *pgconn.PgError
				if _, err := tx.Exec(ctx, statement, args...); !errors.As(err, &failed) {
					t.Error(err)
				}
				return nil // as if nothing were wrong
			})
			if !errors.Is(err, pgx.ErrTxCommitRollback) || errors.Is(err, hapax.ErrUnknown) {
				t.Error(err)
			}
			if err := pool.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A connection that is gone when the transaction begins is the error of whatever comes
// first.
func TestBeginFails(t *testing.T) {
	t.Parallel()
	for name, f := range uses {
		if name == "nothing" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, _ := single(t)
			var backend int
			if err := pool.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&backend); err != nil {
				t.Fatal(err)
			}
			var met error
			err := transact(t, pool, func(ctx context.Context, tx pgx.Tx) error {
				if _, err := connect(t, "").Exec(ctx, "SELECT pg_terminate_backend($1, 10000)", backend); err != nil {
					t.Error(err)
				}
				met = f(ctx, tx)
				return met
			})
			if met == nil || !errors.Is(err, met) {
				t.Errorf("met %v, and told %v", met, err)
			}
			if err := pool.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A function that ends its transaction is told so, also if there was nothing in it.
func TestEndedUnbegun(t *testing.T) {
	t.Parallel()
	pool, _ := single(t)
	for name, end := range map[string]use{
		"commit":   func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) },
		"rollback": func(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) },
	} {
		err := transact(t, pool, func(ctx context.Context, tx pgx.Tx) error {
			if err := end(ctx, tx); err != nil {
				return err
			}
			return nil
		})
		if !errors.Is(err, pgxdb.ErrEnded) {
			t.Errorf("%s: %v", name, err)
		}
		err = transact(t, pool, func(ctx context.Context, tx pgx.Tx) error {
			if err := end(ctx, tx); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "SELECT $1::int", 1)
			return err
		})
		if !errors.Is(err, pgx.ErrTxClosed) {
			t.Errorf("%s, then a statement: %v", name, err)
		}
	}
}
