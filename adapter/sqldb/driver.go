package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"reflect"

	"github.com/go-sql-driver/mysql"

	"github.com/hapaxmq/hapax/internal/marking"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

// runner is what a transaction, a connection and a pool of them have in common.
type runner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// transaction is a [marking.Tx].
type transaction struct{ *sql.Tx }

func (t transaction) Exec(ctx context.Context, statement string, args ...any) (marking.Done, error) {
	return exec(ctx, t.Tx, statement, args)
}

func (t transaction) Query(ctx context.Context, row func(func(...any) error) error, statement string, args ...any) error {
	return query(ctx, t.Tx, row, statement, args)
}

// connection is a [marking.Tx] whose statements are transactions of their own.
type connection struct{ *sql.Conn }

func (c connection) Exec(ctx context.Context, statement string, args ...any) (marking.Done, error) {
	return exec(ctx, c.Conn, statement, args)
}

func (c connection) Query(ctx context.Context, row func(func(...any) error) error, statement string, args ...any) error {
	return query(ctx, c.Conn, row, statement, args)
}

// anywhere is a [marking.Tx] whose statements are transactions of their own, on any
// connection.
type anywhere struct{ *sql.DB }

func (a anywhere) Exec(ctx context.Context, statement string, args ...any) (marking.Done, error) {
	return exec(ctx, a.DB, statement, args)
}

func (a anywhere) Query(ctx context.Context, row func(func(...any) error) error, statement string, args ...any) error {
	return query(ctx, a.DB, row, statement, args)
}

// QueryAsRelay is a transaction of two statements.
func (a anywhere) QueryAsRelay(ctx context.Context, row func(func(...any) error) error, statement string, args ...any) (err error) {
	tx, err := a.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // it is rolled back with its connection, if not by this
		}
	}()
	if _, err := tx.ExecContext(ctx, sqltext.RelaySettings); err != nil {
		return err
	}
	if err := query(ctx, tx, row, statement, args); err != nil {
		return err
	}
	return tx.Commit()
}

func exec(ctx context.Context, r runner, statement string, args []any) (done marking.Done, err error) {
	result, err := r.ExecContext(ctx, statement, args...)
	if err != nil {
		return done, err
	}
	if done.Rows, err = result.RowsAffected(); err != nil {
		return done, err
	}
	done.Last, _ = result.LastInsertId() // an error says that there is no such thing
	return done, nil
}

func query(ctx context.Context, r runner, row func(func(...any) error) error, statement string, args []any) (err error) {
	rows, err := r.QueryContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer func() {
		if e := rows.Close(); err == nil {
			err = e
		}
	}()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func session(db *sql.DB) func(context.Context, func(context.Context, marking.Tx) error) error {
	return func(ctx context.Context, f func(context.Context, marking.Tx) error) (err error) {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer func() {
			if e := conn.Close(); err == nil {
				err = e
			}
		}()
		return f(ctx, connection{conn})
	}
}

func beginner(db *sql.DB, d Dialect, isolation sql.IsolationLevel) func(context.Context) (marking.Open[*sql.Tx], error) {
	o := &sql.TxOptions{Isolation: isolation}
	if d == SQLite {
		return func(ctx context.Context) (marking.Open[*sql.Tx], error) { return beginSQLite(ctx, db, o) }
	}
	return func(ctx context.Context) (marking.Open[*sql.Tx], error) {
		tx, err := db.BeginTx(ctx, o)
		return marking.Open[*sql.Tx]{
			Tx:       tx,
			Commit:   func(context.Context) error { return commit(tx) },
			Rollback: func(context.Context) error { return tx.Rollback() },
		}, err
	}
}

// beginSQLite holds on to the connection: a commit that was refused, as the database
// was busy, leaves it in the transaction, which must not meet the next one.
func beginSQLite(ctx context.Context, db *sql.DB, o *sql.TxOptions) (open marking.Open[*sql.Tx], err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return open, err
	}
	tx, err := conn.BeginTx(ctx, o)
	if err != nil {
		return open, closed(conn, err)
	}
	open.Tx = tx
	open.Commit = func(ctx context.Context) error {
		err := commit(tx)
		if err != nil {
			_, _ = conn.ExecContext(ctx, "ROLLBACK") // an error says that none was open
		}
		return closed(conn, err)
	}
	open.Rollback = func(context.Context) error { return closed(conn, tx.Rollback()) }
	return open, nil
}

// closed gives a connection back and returns err, or what that met.
func closed(conn *sql.Conn, err error) error {
	if e := conn.Close(); err == nil {
		return e
	}
	return err
}

// commit ends a transaction. Its context lives, so that only the function which was
// given it can have ended it before.
func commit(tx *sql.Tx) error {
	err := tx.Commit()
	if errors.Is(err, sql.ErrTxDone) {
		return marking.ErrEnded
	}
	return err
}

// fault tells what the errors of a dialect's drivers mean, by their codes alone.
func fault(d Dialect) func(error) sqltext.Fault {
	switch d {
	case Postgres:
		return func(err error) sqltext.Fault {
			var e interface{ SQLState() string } // of pgx and of lib/pq
			if errors.As(err, &e) {
				return sqltext.PostgresFault(e.SQLState())
			}
			return sqltext.Unclear
		}
	case SQLite:
		return func(err error) sqltext.Fault { return sqltext.SQLiteFault(sqliteCode(err)) }
	default:
		return func(err error) sqltext.Fault {
			var e *mysql.MySQLError
			if errors.As(err, &e) {
				return sqltext.MySQLFault(e.Number)
			}
			return sqltext.Unclear
		}
	}
}

// sqliteCode finds SQLite's code in an error: modernc's has a method that tells it,
// mattn's a field. Zero is none.
func sqliteCode(err error) int {
	var e interface{ Code() int }
	if errors.As(err, &e) {
		return e.Code()
	}
	for ; err != nil; err = errors.Unwrap(err) {
		v := reflect.Indirect(reflect.ValueOf(err))
		if v.Kind() != reflect.Struct {
			continue
		}
		if code := v.FieldByName("ExtendedCode"); code.IsValid() && code.CanInt() {
			return int(code.Int())
		}
	}
	return 0
}
