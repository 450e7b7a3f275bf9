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
	conn   *pgxpool.Conn // nil once it was given back
	tx     pgx.Tx        // nil until it has begun, or tried to
	failed bool          // to begin
}

var _ pgx.Tx = (*deferred)(nil)

func acquire(ctx context.Context, pool *pgxpool.Pool, o pgx.TxOptions) (*deferred, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	return &deferred{ctx: ctx, o: o, conn: conn}, nil
}

// begin begins the transaction, unless that was tried before. Then tx is there, be it
// closed.
func (d *deferred) begin(ctx context.Context) error {
	if d.tx != nil {
		return nil
	}
	b := &pgx.Batch{}
	b.BeginTx(d.o)
	_, err := d.first(ctx, b)
	return err
}

// first sends the batch that begins the transaction, and tells what its last statement
// did.
func (d *deferred) first(ctx context.Context, b *pgx.Batch) (tag pgconn.CommandTag, err error) {
	var results pgx.BatchResults
	if d.conn == nil {
		results = pgx.FailedBatchResults(b, pgx.ErrTxClosed)
	} else {
		results = d.conn.SendBatch(ctx, b)
	}
	for range b.Len() {
		if tag, err = results.Exec(); err != nil {
			break
		}
	}
	if e := results.Close(); err == nil {
		err = e
	}
	d.tx = results.Tx()
	d.failed = err != nil && d.conn != nil && d.conn.Conn().PgConn().TxStatus() == 'I'
	return tag, err
}

// Exec is the first statement of the transaction, if it can be sent with BEGIN: what
// has arguments is one command, and no options of pgx may stand before them.
func (d *deferred) Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error) {
	if d.tx == nil && len(arguments) > 0 && !isOption(arguments[0]) {
		b := &pgx.Batch{}
		b.BeginTx(d.o)
		b.Queue(sql, arguments...)
		return d.first(ctx, b)
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
	_ = d.begin(d.ctx)
	return d.tx.LargeObjects()
}

func (d *deferred) Conn() *pgx.Conn {
	_ = d.begin(d.ctx) // statements on it must be in the transaction; if it failed, so do they
	return d.tx.Conn()
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
	_ = d.begin(d.ctx) // is closed, if it never began
}
