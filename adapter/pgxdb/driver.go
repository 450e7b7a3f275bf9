package pgxdb

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hapaxmq/hapax/internal/marking"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

// runner is what a transaction, a connection and a pool of them have in common.
type runner interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// transaction is a [marking.Tx].
type transaction struct{ pgx.Tx }

func (t transaction) Exec(ctx context.Context, statement string, args ...any) (marking.Done, error) {
	return exec(ctx, t.Tx, statement, args)
}

func (t transaction) Query(ctx context.Context, row func(func(...any) error) error, statement string, args ...any) error {
	return query(ctx, t.Tx, row, statement, args)
}

// connection is a [marking.Tx] whose statements are transactions of their own.
type connection struct{ *pgxpool.Conn }

func (c connection) Exec(ctx context.Context, statement string, args ...any) (marking.Done, error) {
	return exec(ctx, c.Conn, statement, args)
}

func (c connection) Query(ctx context.Context, row func(func(...any) error) error, statement string, args ...any) error {
	return query(ctx, c.Conn, row, statement, args)
}

// anywhere is a [marking.Tx] whose statements are transactions of their own, on any
// connection.
type anywhere struct{ *pgxpool.Pool }

func (a anywhere) Exec(ctx context.Context, statement string, args ...any) (marking.Done, error) {
	return exec(ctx, a.Pool, statement, args)
}

func (a anywhere) Query(ctx context.Context, row func(func(...any) error) error, statement string, args ...any) error {
	return query(ctx, a.Pool, row, statement, args)
}

// QueryAsRelay is one round trip, whose statements are one transaction: what a batch sends
// without BEGIN is.
func (a anywhere) QueryAsRelay(ctx context.Context, row func(func(...any) error) error, statement string, args ...any) error {
	b := &pgx.Batch{}
	b.Queue(sqltext.RelaySettings)
	b.Queue(statement, args...).Query(func(rows pgx.Rows) error { return each(rows, row) })
	return a.SendBatch(ctx, b).Close()
}

func exec(ctx context.Context, r runner, statement string, args []any) (marking.Done, error) {
	tag, err := r.Exec(ctx, statement, args...)
	return marking.Done{Rows: tag.RowsAffected()}, err
}

func query(ctx context.Context, r runner, row func(func(...any) error) error, statement string, args []any) error {
	rows, err := r.Query(ctx, statement, args...)
	if err != nil {
		return err
	}
	return each(rows, row)
}

func each(rows pgx.Rows, row func(func(...any) error) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func session(pool *pgxpool.Pool) func(context.Context, func(context.Context, marking.Tx) error) error {
	return func(ctx context.Context, f func(context.Context, marking.Tx) error) error {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		return f(ctx, connection{conn})
	}
}

func beginner(pool *pgxpool.Pool, o pgx.TxOptions) func(context.Context) (marking.Open[pgx.Tx], error) {
	mode := pool.Config().ConnConfig.DefaultQueryExecMode
	return func(ctx context.Context) (marking.Open[pgx.Tx], error) {
		tx, err := acquire(ctx, pool, o, mode)
		return marking.Open[pgx.Tx]{
			Tx: tx,
			Commit: func(ctx context.Context) error {
				err := tx.Commit(ctx)
				if errors.Is(err, pgx.ErrTxClosed) {
					return marking.ErrEnded
				}
				return err
			},
			Rollback: func(ctx context.Context) error { return tx.Rollback(ctx) },
		}, err
	}
}

// fault tells what errors mean, by their codes alone.
func fault(err error) sqltext.Fault {
	var e *pgconn.PgError
	switch {
	case errors.As(err, &e):
		return sqltext.PostgresFault(e.Code)
	case errors.Is(err, pgx.ErrTxCommitRollback): // a statement had failed, and nobody minded
		return sqltext.Refused
	default:
		return sqltext.Unclear
	}
}
