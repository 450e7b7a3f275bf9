package pgxdb

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/marking"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

// Marks keeps marks in a database. It starts nothing and holds nothing but the
// *pgxpool.Pool, which stays the caller's. All methods may be called from several goroutines
// at once.
type Marks struct {
	transactor marking.Transactor[pgx.Tx]
	waiter     marking.Waiter
	table      *marking.Table // nil of ByOwn
	operator   marking.Operator
}

var (
	_ hapax.Marks[pgx.Tx] = (*Marks)(nil)
	_ hapax.Operator      = (*Marks)(nil)
)

// Swept is what a sweep did.
type Swept = marking.Swept

// ErrEnded says that the function which Transact ran committed its transaction, or rolled it
// back, by itself. It comes with [hapax.ErrUnknown].
var ErrEnded = marking.ErrEnded

// Rerun tells whether ctx is that of a function which Transact runs again, since
// the database rolled back what it did before.
func Rerun(ctx context.Context) bool { return marking.Rerun(ctx) }

// Schema holds the files that make the tables, for those who have a migrator of their
// own: "schema/postgres_inbox.sql" and the like. [Marks.Migrate] runs the same.
func Schema() fs.FS { return sqltext.Schemas }

// ByID returns marks by id: a row for each message.
func ByID(pool *pgxpool.Pool, o Options) (*Marks, error) {
	common, err := o.common().WithDefaults(sqltext.Postgres, sqltext.Inbox)
	if err != nil {
		return nil, fmt.Errorf("marks by id: %w", err)
	}
	kind := sqltext.Inbox
	if o.Span > 0 {
		kind = sqltext.Partitions
	}
	form := &marking.IDs{Dialect: sqltext.Postgres, Table: common.Table, MaxReceipt: common.MaxReceipt, Span: o.Span, Fault: fault}
	return newMarks(pool, o.Tx, common, kind, form), nil
}

// ByPosition returns marks by [hapax.Mark.Position]: a row for each scope and source,
// which names a partition for ever: that of a topic that was deleted and made anew is
// another one. They keep no receipts and compare no digests.
func ByPosition(pool *pgxpool.Pool, o Options) (*Marks, error) {
	return byNumber(pool, o, false)
}

// BySequence returns marks by [hapax.Mark.Sequence]: a row for each scope and
// producer. A number of a lower epoch is [hapax.Stale]. They keep no receipts and
// compare no digests.
func BySequence(pool *pgxpool.Pool, o Options) (*Marks, error) {
	return byNumber(pool, o, true)
}

func byNumber(pool *pgxpool.Pool, o Options, sequences bool) (*Marks, error) {
	common, err := o.common().WithDefaults(sqltext.Postgres, sqltext.Numbers)
	if err != nil {
		return nil, fmt.Errorf("marks by number: %w", err)
	}
	form := &marking.Numbers{Dialect: sqltext.Postgres, Table: common.Table, Sequences: sequences, Fault: fault}
	return newMarks(pool, o.Tx, common, sqltext.Numbers, form), nil
}

// Insert writes the row of a message unless it is there, and says whether it was not:
// by INSERT … ON CONFLICT DO NOTHING and the rows affected. It may return
// [hapax.ErrConflict].
type Insert func(ctx context.Context, tx pgx.Tx, m *hapax.Mark) (fresh bool, err error)

// ByOwn returns marks in a unique column of the user's own. They keep no receipts. A
// mark that has waited for others for [Options.Wait] gives up its connection, for the
// statement is the user's.
func ByOwn(pool *pgxpool.Pool, insert Insert, o Options) (*Marks, error) {
	common, err := o.common().WithDefaults(sqltext.Postgres, sqltext.Inbox)
	if err != nil {
		return nil, fmt.Errorf("marks by a column: %w", err)
	}
	form := &marking.Column[pgx.Tx]{
		Dialect: sqltext.Postgres, Fault: fault, Insert: insert,
		Raw: func(tx marking.Tx) pgx.Tx { return tx.(transaction).Tx },
	}
	m := newMarks(pool, o.Tx, common, sqltext.Inbox, form)
	m.table = nil
	return m, nil
}

func newMarks(pool *pgxpool.Pool, tx pgx.TxOptions, o marking.Options, k sqltext.Kind, form marking.Form) *Marks {
	return &Marks{
		transactor: marking.Transactor[pgx.Tx]{
			Begin: beginner(pool, tx), Fault: fault, Runs: o.Runs, Settle: o.Settle,
		},
		waiter:   marking.Waiter{Form: form, Wait: o.Wait, Fault: fault},
		operator: marking.Operator{Form: form, Session: session(pool)},
		table: &marking.Table{
			Dialect: sqltext.Postgres, Kind: k, Name: o.Table, Span: o.Span, Ahead: o.Ahead, Fault: fault, Session: session(pool),
		},
	}
}

// Ordered tells whether the marks are high-water marks, by position or by sequence: then
// messages must come in their order, and an inbox refuses to name them by anything else.
func (m *Marks) Ordered() bool {
	_, numbers := m.waiter.Form.(*marking.Numbers)
	return numbers
}

// Transact runs f in a transaction, as [hapax.Marks] says. A function that runs again
// can know it by [Rerun]. The transaction begins with what is done in it first: BEGIN and
// the mark are one round trip, and an error of BEGIN is the mark's.
func (m *Marks) Transact(ctx context.Context, f func(ctx context.Context, tx pgx.Tx) error) error {
	return m.transactor.Transact(ctx, f)
}

// Mark marks messages, as [hapax.Marks] says. In a transaction that Transact began it
// must have the context that Transact gave with it: then it waits for copies as
// long as [Options.Wait] says, and a failure ends the transaction. In any other
// it hardly waits, and stands behind a savepoint: whatever it returns, the transaction
// goes on. There a copy that was committed
// since the transaction's snapshot is also an [*hapax.InFlightError].
func (m *Marks) Mark(ctx context.Context, tx pgx.Tx, marks []hapax.Mark) error {
	return m.waiter.Mark(ctx, tx, transaction{tx}, marks)
}

// Keep keeps a receipt, as [hapax.Marks] says.
func (m *Marks) Keep(ctx context.Context, tx pgx.Tx, mark *hapax.Mark) error {
	return m.waiter.Form.Keep(ctx, transaction{tx}, mark)
}

// Migrate makes the table, unless it is there. Several may do so at once. If it is
// there, the right to read and write its rows is enough.
func (m *Marks) Migrate(ctx context.Context) error {
	if m.table == nil {
		return nil
	}
	return m.table.Migrate(ctx)
}

// Sweep forgets what was marked longer than window ago, by the database's clock, in
// batches of up to 5,000 rows, fewer where they take long, with rests between them. Of
// partitions it drops those that end before the window, moves the horizon, and makes
// those ahead: run it once before the first message, and then every half span. Of
// positions and sequences it forgets sources that were silent for so long. Several may
// sweep at once.
func (m *Marks) Sweep(ctx context.Context, window time.Duration) (Swept, error) {
	if m.table == nil {
		return Swept{}, nil
	}
	return m.table.Sweep(ctx, window)
}

// Look is [hapax.Operator] for marks by id: a Duplicate with its receipt, or Fresh. A
// transaction under way is not seen. Of other marks it is an [errors.ErrUnsupported].
func (m *Marks) Look(ctx context.Context, s hapax.Scope, id hapax.Identity) (hapax.Claim, error) {
	return m.operator.Look(ctx, s, id)
}

// Expire is [hapax.Operator] for marks by id: it deletes the mark, so that the next copy
// runs. A transaction under way goes on, and marks when it commits.
func (m *Marks) Expire(ctx context.Context, s hapax.Scope, id hapax.Identity) (was bool, err error) {
	return m.operator.Expire(ctx, s, id)
}
