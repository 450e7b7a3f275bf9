package sqltext

// Fault is what an error of a database means for the transaction it came up in.
type Fault uint8

const (
	// Unclear: no answer of the server, or none that tells what became of the
	// statement. A commit that ends like this may have happened.
	Unclear Fault = iota
	// Refused: the statement, or the commit, did not happen.
	Refused
	// Again: refused, and the same may pass in a new transaction: a serialisation
	// failure or a deadlock.
	Again
	// Busy: refused, and the same may pass in this transaction or in a new one, once
	// another has ended.
	Busy
	// Locked: refused, for a lock could not be had in time.
	Locked
	// Unplaced: refused, for no partition takes the row.
	Unplaced
)

// PostgresFault tells a fault of PostgreSQL by its SQLSTATE.
func PostgresFault(state string) Fault {
	switch state {
	case "40001", "40P01": // not serialisable, deadlock
		return Again
	case "55P03": // lock_not_available
		return Locked
	case "23514": // check_violation: for marks, that no partition takes the row
		return Unplaced
	case "40003", "": // statement_completion_unknown
		return Unclear
	}
	if len(state) < 2 {
		return Unclear
	}
	switch state[:2] {
	case "08", "57", "58", "XX": // connection, intervention (shutdown), system, internal
		return Unclear
	}
	return Refused
}

// MySQLFault tells a fault of MySQL or MariaDB by its number.
func MySQLFault(number uint16) Fault {
	switch number {
	case 1213, 1020: // deadlock, record changed since it was read
		return Again
	case 1205, 3572: // lock wait timeout, NOWAIT
		return Locked
	case 1053, 1152, 1927, 1180, 3101: // shutdown, aborted, killed, error during commit
		return Unclear
	}
	return Refused
}

// SQLiteFault tells a fault of SQLite by its code, extended or not.
func SQLiteFault(code int) Fault {
	switch code & 0xff {
	case 5, 6: // SQLITE_BUSY, SQLITE_LOCKED
		if code == 5|2<<8 { // SQLITE_BUSY_SNAPSHOT: what was read is old, and waiting does not help
			return Again
		}
		return Busy
	case 0, 10, 11, 13: // none, I/O error, damage, full: a commit may have got through
		return Unclear
	}
	return Refused
}
