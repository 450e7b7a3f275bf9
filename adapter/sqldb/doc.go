// Package sqldb keeps marks in the user's own database through database/sql, inside
// of the transactions that hold the handlers' effects: a [Marks] is a
// [hapax.Marks] of *sql.Tx. For effects elsewhere, [Ledger] keeps claims there. [Outbox]
// puts what is to be published into the same transactions.
//
// # Databases
//
//   - [Postgres]: PostgreSQL 14 and later, through pgx's stdlib or lib/pq.
//   - [MariaDB] 10.5 and [MySQL] 8 and later, through go-sql-driver/mysql. The tables
//     must be of InnoDB.
//   - [SQLite] 3.35 and later, through modernc.org/sqlite or mattn/go-sqlite3.
//
// # What is a mark
//
//   - [ByID]: a row for each message. Any order, any identity; remembered until
//     [Marks.Sweep] forgets it.
//   - [ByPosition]: a row for each source. It costs no space and needs no sweep, but
//     the messages of a source must be handled in their order by one consumer at a
//     time, and one that failed must be handled before the next.
//   - [BySequence]: the same by the producers' own numbers.
//   - [ByOwn]: a unique column of a table of yours, such as orders.order_id.
//
// # Guarantee
//
// The mark and the handler's writes in the transaction commit together or not at all,
// at READ COMMITTED, REPEATABLE READ and SERIALIZABLE: an effect in the database
// happens once for all copies of a message within the window. Effects elsewhere
// happen at least once. It is void if the handler writes on another connection, if it
// commits the transaction by a statement of SQL (in MySQL any DDL does), and if
// the database loses what it has committed.
package sqldb
