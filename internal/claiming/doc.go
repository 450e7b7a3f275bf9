// Package claiming is a [hapax.Ledger] in a table of an SQL database, whatever driver
// carries its statements.
//
// A message is a row, and each step one statement, which compares the token and
// writes at once. What leases and windows are measured by is the server's clock.
package claiming
