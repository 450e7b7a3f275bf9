// Package pgxdb keeps marks in the user's own PostgreSQL (14 and later) through pgx,
// inside of the transactions that hold the handlers' effects: a [Marks] is a
// [hapax.Marks] of pgx.Tx. The tables are those of package sqldb, and so are the
// guarantees: services may use both on one table. [Ledger] and [Outbox] are as
// sqldb's.
package pgxdb
