package sqldb

import (
	"database/sql"
	"time"

	"github.com/hapaxmq/hapax/internal/marking"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

// Dialect is the SQL that a database speaks.
type Dialect = sqltext.Dialect

// The dialects.
const (
	Postgres = sqltext.Postgres
	MySQL    = sqltext.MySQL
	MariaDB  = sqltext.MariaDB
	SQLite   = sqltext.SQLite
)

// Options are those of all forms. The zero value is good.
type Options struct {
	// Table is the name of the table, behind a schema and a dot or not (default:
	// hapax_inbox, and hapax_numbers of positions and sequences). ByOwn needs none.
	Table string
	// Wait is how long [Marks.Mark] waits for another transaction that marks a copy
	// (default: 5 s; MariaDB: whole seconds). A single mark in PostgreSQL, and any in
	// MySQL, that waits longer gives up its connection. In transactions of others it waits
	// for a hundredth of a second at most, in MySQL for one.
	Wait time.Duration
	// Isolation is that of the transactions that [Marks.Transact] begins (default:
	// the database's own).
	Isolation sql.IsolationLevel
	// Runs is how often Transact runs a function at most where the database asks
	// for another transaction (default: 20).
	Runs int
	// Settle bounds a commit, or a rollback, once the function has returned, which
	// then goes on even if the caller's context ends (default: 30 s).
	Settle time.Duration
	// MaxReceipt is the limit of one receipt in bytes (default: 65,536).
	MaxReceipt int

	// Span partitions the marks by id of PostgreSQL by the messages' own time, so
	// that a window is forgotten by dropping tables (default: 0, no partitions). It
	// is whole seconds, a day is good, and it never changes for a table. Every copy
	// must have the same [hapax.Mark.Time], or a UUIDv7 as identity, whose time
	// counts then. A message from before what was swept is [hapax.Late].
	Span time.Duration
	// Ahead is how far ahead Sweep makes partitions (default: two spans). A message
	// with a time beyond is an error.
	Ahead time.Duration
}

func (o Options) common() marking.Options {
	return marking.Options{
		Table: o.Table, Wait: o.Wait, Runs: o.Runs, Settle: o.Settle,
		MaxReceipt: o.MaxReceipt, Span: o.Span, Ahead: o.Ahead,
	}
}
