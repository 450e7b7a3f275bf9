// Package relaying is the outbox of an SQL database as relays see it, whatever driver
// carries the statements.
//
// The row of a shard in the table of relays is the lock of all that is done to the
// shard's rows once they are put: who seals, deletes or sets aside updates it first, and
// finds out whether the shard is still its own.
package relaying
