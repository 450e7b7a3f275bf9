package pgxdb

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// deferred is a transaction on a connection of a pool that begins with its first
// statement: BEGIN and an Exec, such as the one that marks, are one round trip. What
// the beginning meets is the error of that statement.
type deferred struct {
	ctx    context.Context // of the transaction: to begin in methods that are given none
	o      pgx.TxOptions
	alone  bool          // BEGIN goes alone
	conn   *pgxpool.Conn // nil once it was given back
	own    *pgx.Conn     // the same
	tx     pgx.Tx        // nil until it has begun, or tried to
	failed bool          // to begin
}

var _ pgx.Tx = (*deferred)(nil)

// acquire acquires a connection for a transaction. BEGIN goes alone if it is the user's, or if
// the protocol has no answer for each statement of a batch.
func acquire(ctx context.Context, pool *pgxpool.Pool, o pgx.TxOptions, mode pgx.QueryExecMode) (*deferred, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	alone := o.BeginQuery != "" || mode == pgx.QueryExecModeSimpleProtocol
	return &deferred{ctx: ctx, o: o, alone: alone, conn: conn, own: conn.Conn()}, nil
}

// begin begins the transaction, unless that was tried before. What nothing was sent for, since
// its context had ended, was not tried.
func (d *deferred) begin(ctx context.Context) error {
	switch {
	case d.tx != nil:
		return nil
	case d.conn == nil:
		d.tx = closed()
		return pgx.ErrTxClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	var err error
	if d.tx, err = d.conn.BeginTx(ctx, d.o); err != nil {
		d.tx, d.failed = closed(), true
	}
	return err
}

// closed is a transaction that is.
func closed() pgx.Tx {
	b := &pgx.Batch{}
	b.BeginTx(pgx.TxOptions{})
	return pgx.FailedBatchResults(b, pgx.ErrTxClosed).Tx()
}

// first begins the transaction with a statement.
func (d *deferred) first(ctx context.Context, sql string, arguments []any) (tag pgconn.CommandTag, err error) {
	b := &pgx.Batch{}
	b.BeginTx(d.o)
	b.Queue(sql, arguments...)
	results := d.conn.SendBatch(ctx, b)
	if _, err = results.Exec(); err == nil {
		tag, err = results.Exec()
	}
	if e := results.Close(); err == nil {
		err = e
	}
	d.tx = results.Tx()
	d.failed = err != nil && d.own.PgConn().TxStatus() == 'I'
	return tag, err
}

// Exec is the first statement of the transaction, if it can be sent with BEGIN: what
// has arguments is one command then, and no options of pgx may stand before them.
func (d *deferred) Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error) {
	if d.tx == nil && d.conn != nil && !d.alone && ctx.Err() == nil && len(arguments) > 0 && !isOption(arguments[0]) {
		return d.first(ctx, sql, arguments)
	}
	if err := d.begin(ctx); err != nil {
		return pgconn.CommandTag{}, err
	}
	return d.tx.Exec(ctx, sql, arguments...)
}

func isOption(argument any) bool {
	switch argument.(type) {
	case pgx.QueryExecMode, pgx.QueryResultFormats, pgx.QueryResultFormatsByOID, pgx.QueryRewriter:
		return true
	}
	return false
}

func (d *deferred) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := d.begin(ctx); err != nil {
		return pgx.FailedBatchResults(&pgx.Batch{}, err).Query()
	}
	return d.tx.Query(ctx, sql, args...)
}

func (d *deferred) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := d.begin(ctx); err != nil {
		return pgx.FailedBatchResults(&pgx.Batch{}, err).QueryRow()
	}
	return d.tx.QueryRow(ctx, sql, args...)
}

func (d *deferred) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if err := d.begin(ctx); err != nil {
		return pgx.FailedBatchResults(b, err)
	}
	return d.tx.SendBatch(ctx, b)
}

func (d *deferred) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	if err := d.begin(ctx); err != nil {
		return 0, err
	}
	return d.tx.CopyFrom(ctx, table, columns, rows)
}

func (d *deferred) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	return d.tx.Prepare(ctx, name, sql)
}

// Begin begins a savepoint.
func (d *deferred) Begin(ctx context.Context) (pgx.Tx, error) {
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	return d.tx.Begin(ctx)
}

// LargeObjects meet the error of a failed beginning as that of a closed transaction.
func (d *deferred) LargeObjects() pgx.LargeObjects {
	d.must()
	return d.tx.LargeObjects()
}

// Conn is closed if the transaction has not begun, for statements on it must be in that.
func (d *deferred) Conn() *pgx.Conn {
	d.must()
	return d.own
}

// must begins the transaction where no error can be told: then the connection is lost.
func (d *deferred) must() {
	if d.begin(d.ctx) != nil && d.tx == nil {
		d.tx, d.failed = closed(), true
	}
	if d.failed && d.conn != nil {
		_ = d.own.Close(context.WithoutCancel(d.ctx))
	}
}

func (d *deferred) Commit(ctx context.Context) error {
	defer d.release()
	switch {
	case d.failed && d.conn != nil:
		return pgx.ErrTxCommitRollback
	case d.tx == nil: // there was no statement
		return nil
	}
	return d.tx.Commit(ctx)
}

func (d *deferred) Rollback(ctx context.Context) error {
	defer d.release()
	if d.tx == nil {
		return nil
	}
	return d.tx.Rollback(ctx)
}

// release gives the connection back, if the transaction still has it.
func (d *deferred) release() {
	if d.conn == nil {
		return
	}
	d.conn.Release()
	d.conn = nil
	if d.tx == nil {
		d.tx = closed()
	}
}
