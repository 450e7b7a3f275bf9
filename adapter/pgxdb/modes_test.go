package pgxdb_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/pgxdb"
)

// inMode is a pool of one connection whose statements are of a mode.
func inMode(t *testing.T, mode pgx.QueryExecMode) *pgxpool.Pool {
	t.Helper()
	return changed(t, func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = mode })
}

var modes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec,
	pgx.QueryExecModeSimpleProtocol,
}

// TestBeginQuery: what is fresh is Fresh in all modes, also where BEGIN is the user's own and of
// several commands, and where the first statement is, which only the simple protocol takes.
func TestBeginQuery(t *testing.T) {
	t.Parallel()
	schema := create(t)
	for _, mode := range modes {
		pool := inMode(t, mode)
		begin := pgx.TxOptions{BeginQuery: "begin; set local lock_timeout = '1s'"}
		ids, err := pgxdb.ByID(pool, pgxdb.Options{Table: schema + ".inbox", Tx: begin})
		if err != nil {
			t.Fatal(err)
		}
		two := "INSERT INTO " + schema + ".orders VALUES ($1) ON CONFLICT DO NOTHING"
		if mode == pgx.QueryExecModeSimpleProtocol {
			two = "UPDATE " + schema + ".orders SET id = id WHERE id = $1; " + two
		}
		own, err := pgxdb.ByOwn(pool, func(ctx context.Context, tx pgx.Tx, m *hapax.Mark) (bool, error) {
			tag, err := tx.Exec(ctx, two, string(m.Identity))
			return tag.RowsAffected() == 1, err
		}, pgxdb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, marks := range []hapax.Marks[pgx.Tx]{ids, own} {
			for _, want := range []hapax.Verdict{hapax.Fresh, hapax.Duplicate} {
				one := []hapax.Mark{{Scope: "exam", Identity: hapax.Identity(mode.String())}}
				err := marks.Transact(t.Context(), func(ctx context.Context, tx pgx.Tx) error { return marks.Mark(ctx, tx, one) })
				if err != nil || one[0].Verdict != want {
					t.Errorf("%v: %v, %v, want %v", mode, one[0].Verdict, err, want)
				}
			}
		}
	}
}

// TestConnOfFailed: nothing that is done on the connection of a transaction that did not begin
// stays.
func TestConnOfFailed(t *testing.T) {
	t.Parallel()
	schema := create(t)
	effect := func(tx pgx.Tx) { // whose error is not looked at
		_, _ = tx.Conn().Exec(context.Background(), "INSERT INTO "+schema+".effects VALUES ('x')")
	}
	var leave context.CancelFunc
	for name, f := range map[string]func(context.Context, pgx.Tx) error{
		"the first statement was refused": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SELECT $1::int FROM nowhere", 1)
			effect(tx)
			return err
		},
		"the caller has left": func(ctx context.Context, tx pgx.Tx) error {
			leave()
			effect(tx)
			return ctx.Err()
		},
	} {
		for _, mode := range modes {
			pool := inMode(t, mode)
			m, err := pgxdb.ByID(pool, pgxdb.Options{Table: schema + ".inbox"})
			if err != nil {
				t.Fatal(err)
			}
			var ctx context.Context
			ctx, leave = context.WithCancel(t.Context())
			if err := m.Transact(ctx, f); err == nil {
				t.Errorf("%s, %v: no error", name, mode)
			}
			leave()
			var n int
			if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM "+schema+".effects").Scan(&n); err != nil || n != 0 {
				t.Errorf("%s, %v: %d effects stayed, %v", name, mode, n, err)
			}
		}
	}
}

// TestStatementOfEnded: a first statement whose own context has ended was not sent, and the
// transaction can go on.
func TestStatementOfEnded(t *testing.T) {
	t.Parallel()
	err := transact(t, inMode(t, pgx.QueryExecModeCacheStatement), func(ctx context.Context, tx pgx.Tx) error {
		short, end := context.WithCancel(ctx)
		end()
		if _, err := tx.Exec(short, "SELECT $1::int", 1); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		_, err := tx.Exec(ctx, "SELECT $1::int", 1)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestOwnInsert: the user's insert has the caller's deadline, and can mark by itself.
func TestOwnInsert(t *testing.T) {
	t.Parallel()
	schema := create(t)
	pool := inMode(t, pgx.QueryExecModeCacheStatement)
	ids, err := pgxdb.ByID(pool, pgxdb.Options{Table: schema + ".inbox"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithTimeout(t.Context(), 3*time.Minute)
	defer end()
	until, _ := ctx.Deadline()
	own, err := pgxdb.ByOwn(pool, func(ctx context.Context, tx pgx.Tx, m *hapax.Mark) (bool, error) {
		if at, ok := ctx.Deadline(); !ok || at.After(until) {
			t.Error("the deadline is", at)
		}
		inner := []hapax.Mark{{Scope: "inner", Identity: m.Identity}}
		err := ids.Mark(ctx, tx, inner)
		return inner[0].Verdict == hapax.Fresh, err
	}, pgxdb.Options{Wait: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	marks := []hapax.Mark{{Scope: "exam", Identity: hapax.Identity("a")}}
	err = own.Transact(ctx, func(ctx context.Context, tx pgx.Tx) error { return own.Mark(ctx, tx, marks) })
	if err != nil || marks[0].Verdict != hapax.Fresh {
		t.Error(marks[0].Verdict, err)
	}
}
