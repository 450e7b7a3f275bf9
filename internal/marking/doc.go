// Package marking makes marks in the transactions of SQL databases, whatever driver
// carries the statements: by id, by number, or in a column of the user's own. The
// adapters are this package and a driver.
//
// # How a mark is made
//
// In a transaction that [Transactor.Transact] began, marks are one statement, which
// waits for whoever marks the same at the moment. What waits too long, or meets a
// serialisation failure, ends the transaction, and another is begun.
//
// In a transaction of somebody else the same statement stands behind a savepoint and
// hardly waits, so that nothing it meets ends the transaction.
package marking
