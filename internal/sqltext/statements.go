package sqltext

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// InsertOne marks a message by id in PostgreSQL or SQLite: id, digest. The rows affected
// tell whether it was fresh. It is [Insert] of one without a limit of waiting, and as
// quick as such a statement can be.
func InsertOne(d Dialect, table string) string {
	if d == SQLite {
		return "INSERT INTO " + table + " (id, digest) VALUES (?, ?) ON CONFLICT DO NOTHING"
	}
	return "INSERT INTO " + table + " (id, digest) VALUES ($1::bytea, $2::bigint) ON CONFLICT DO NOTHING"
}

// Insert marks n messages by id and tells which were fresh.
//
//	postgres  ids bytea[], digests bigint[], wait; one row: the fresh ids, joined
//	sqlite    (id, digest) n times; a row for each fresh id
//
// MySQL has [InsertValues].
func Insert(d Dialect, table string, n int) string {
	if d == Postgres {
		return waiting("INSERT INTO "+table+" (id, digest) SELECT m.id, m.digest"+
			" FROM hapax_wait, unnest($1::bytea[], $2::bigint[]) AS m (id, digest)"+
			" ON CONFLICT DO NOTHING RETURNING id", "string_agg(id, ''::bytea)", 3)
	}
	return "INSERT INTO " + table + " (id, digest) VALUES " + repeat("(?, ?)", n) + " ON CONFLICT DO NOTHING RETURNING id"
}

// InsertValues is the beginning of an insert of MySQL, up to its rows: (id, digest, run).
// The rows affected are the fresh ones. Values are written into the text, as
// [AppendBinary] and numbers are: parameters would cost a round trip to prepare it.
func InsertValues(d Dialect, table string, wait time.Duration) string {
	return forWait(d, wait) + "INSERT IGNORE INTO " + table + " (id, digest, run) VALUES "
}

// AppendBinary appends a value of bytes as MySQL writes it.
func AppendBinary(dst, value []byte) []byte {
	dst = append(dst, "x'"...)
	dst = hex.AppendEncode(dst, value)
	return append(dst, '\'')
}

// InsertPeriod is [Insert] into the partitions of PostgreSQL: ids, digests, wait,
// periods timestamptz[]. Beside the fresh ids it tells the horizon: messages before
// it are not marked.
func InsertPeriod(table string) string {
	return waiting("INSERT INTO "+table+" (id, digest, period) SELECT m.id, m.digest, m.period"+
		" FROM hapax_wait, unnest($1::bytea[], $2::bigint[], $4::timestamptz[]) AS m (id, digest, period)"+
		" WHERE m.period >= (SELECT horizon FROM "+table+"_horizon)"+
		" ON CONFLICT DO NOTHING RETURNING id, period",
		"string_agg("+periodName+", ''::bytea), (SELECT horizon FROM "+table+"_horizon)", 3)
}

// Look reads what is known of n ids: id, digest, receipt; then of MySQL run, of SQLite
// whether there is a receipt, since not every driver tells an empty one from none.
//
//	postgres  ids bytea[]
//	others    id n times
func Look(d Dialect, table string, n int) string {
	switch d {
	case Postgres:
		return "SELECT id, digest, receipt FROM " + table + " WHERE id = ANY($1::bytea[])"
	case SQLite:
		return "SELECT id, digest, receipt, receipt IS NOT NULL FROM " + table + " WHERE id IN (" + repeat("?", n) + ")"
	default: // a locking read sees what is committed, however old the transaction's snapshot is
		return "SELECT id, digest, receipt, run FROM " + table + " WHERE id IN (" + repeat("?", n) + ") LOCK IN SHARE MODE"
	}
}

// LookAtMark reads the digest of a mark, its receipt and whether there is one, in whatever
// partition it is: id.
func LookAtMark(d Dialect, table string) string {
	return "SELECT digest, receipt, receipt IS NOT NULL FROM " + table + " WHERE id = " + placeholder(d)
}

// DropMark forgets a mark: id.
func DropMark(d Dialect, table string) string {
	return "DELETE FROM " + table + " WHERE id = " + placeholder(d)
}

func placeholder(d Dialect) string {
	if d == Postgres {
		return "$1::bytea"
	}
	return "?"
}

// periodName names a row in partitions: its id and the microseconds of its period,
// as eight big-endian bytes.
const periodName = "id || int8send((extract(epoch FROM period) * 1000000)::bigint)"

// LookPeriod is [Look] in the partitions of PostgreSQL: ids, periods.
func LookPeriod(table string) string {
	return "SELECT " + periodName + ", digest, receipt FROM " + table +
		" WHERE (id, period) IN (SELECT * FROM unnest($1::bytea[], $2::timestamptz[]))"
}

// Keep writes the receipt of a mark: receipt, id.
func Keep(d Dialect, table string) string {
	switch d {
	case Postgres:
		return "UPDATE " + table + " SET receipt = $1::bytea WHERE id = $2::bytea"
	case SQLite:
		return "UPDATE " + table + " SET receipt = ifnull(?, x'') WHERE id = ?"
	default:
		return "UPDATE " + table + " SET receipt = ? WHERE id = ?"
	}
}

// KeepPeriod is [Keep] in the partitions of PostgreSQL: receipt, id, period.
func KeepPeriod(table string) string {
	return "UPDATE " + table + " SET receipt = $1::bytea WHERE id = $2::bytea AND period = $3::timestamptz"
}

// Advance is [RaiseOne] of a numbering that is there: of one that is not it says that it did
// not move. It costs half of what an insert does that finds a row.
func Advance(table string) string {
	return "UPDATE " + table + " SET epoch = $2::bigint, next = $3::bigint, marked = now()" +
		" WHERE id = $1::bytea AND (epoch, next) < ($2::bigint, $3::bigint)"
}

// RaiseOne is [Raise] of one numbering in PostgreSQL without a limit of waiting: id,
// epoch, next. The rows affected tell whether it moved.
func RaiseOne(table string) string {
	return "INSERT INTO " + table + " AS n (id, epoch, next) SELECT $1::bytea, $2::bigint, $3::bigint" +
		" WHERE NOT EXISTS (SELECT FROM " + table + " AS o WHERE o.id = $1::bytea AND (o.epoch, o.next) >= ($2::bigint, $3::bigint))" +
		raises
}

// raises are what an insert of a numbering does if it is there, up to what it returns.
const raises = " ON CONFLICT (id) DO UPDATE SET" +
	" previous = CASE WHEN n.epoch = excluded.epoch THEN n.next ELSE 0 END," +
	" epoch = excluded.epoch, next = excluded.next, marked = excluded.marked" +
	" WHERE (n.epoch, n.next) < (excluded.epoch, excluded.next)"

// Raise moves numberings up to what is marked, unless they stand there or above,
// and tells where they stood.
//
//	postgres  ids bytea[], epochs bigint[], nexts bigint[], wait; one row: id and
//	          previous, as eight big-endian bytes, of each that moved, joined
//	mysql     none: row is (id, epoch, next); the last insert id is previous: 0 of a new row or
//	          a lower epoch, 1<<63 − 1 if the row's epoch is higher
//	sqlite    id, epoch, next; a row with previous if it moved
func Raise(d Dialect, table string, wait time.Duration, row string) string {
	switch d {
	case Postgres: // a row that stands above is left alone: who updates it locks it until the commit is on disk
		return waiting("INSERT INTO "+table+" AS n (id, epoch, next) SELECT m.id, m.epoch, m.next"+
			" FROM hapax_wait, unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS m (id, epoch, next)"+
			" WHERE NOT EXISTS (SELECT FROM "+table+" AS o WHERE o.id = m.id AND (o.epoch, o.next) >= (m.epoch, m.next))"+
			raises+" RETURNING n.id, n.previous", "string_agg(id || int8send(previous), ''::bytea)", 4)
	case SQLite:
		return "INSERT INTO " + table + " AS n (id, epoch, next) VALUES (?, ?, ?)" + raises + " RETURNING previous"
	default: // assignments are made from left to right
		return forWait(d, wait) + "INSERT INTO " + table + " (id, epoch, next) VALUES " + row +
			" ON DUPLICATE KEY UPDATE next = IF(LAST_INSERT_ID(CASE" +
			" WHEN epoch > VALUES(epoch) THEN 9223372036854775807" +
			" WHEN epoch = VALUES(epoch) THEN next ELSE 0 END) < VALUES(next), VALUES(next), next)," +
			" epoch = GREATEST(epoch, VALUES(epoch)), marked = CURRENT_TIMESTAMP(3)"
	}
}

// Epoch reads the epoch of a numbering: id.
func Epoch(d Dialect, table string) string {
	return "SELECT epoch FROM " + table + " WHERE id = " + placeholder(d)
}

// Delete forgets at most n rows that were marked more than some seconds ago; of claims
// those that ended, of an outbox the ids that were published: seconds, n.
func Delete(d Dialect, k Kind, table string) string {
	if k == Outbox {
		table = IDs(table)
	}
	switch {
	case k == Claims:
		return deleteClaims(d, table)
	case d == Postgres: // rows that another sweeper is at are left to it
		return "DELETE FROM " + table + " WHERE ctid = ANY (ARRAY(SELECT ctid FROM " + table +
			" WHERE marked < now() - make_interval(secs => $1::float8) LIMIT $2::bigint FOR UPDATE SKIP LOCKED))"
	case d == SQLite && k == Inbox: // rows stand in the order of their time, so the first ones are asked
		return "DELETE FROM " + table + " WHERE rowid IN (SELECT rowid FROM " + table +
			" WHERE rowid < (SELECT min(rowid) + 20000 FROM " + table + ")" +
			" AND marked < CAST(strftime('%s', 'now') AS INTEGER) - ? ORDER BY rowid LIMIT ?)"
	case d == SQLite:
		return "DELETE FROM " + table + " WHERE id IN (SELECT id FROM " + table +
			" WHERE marked < CAST(strftime('%s', 'now') AS INTEGER) - ? LIMIT ?)"
	default:
		return "DELETE FROM " + table + " WHERE marked < CURRENT_TIMESTAMP(3) - INTERVAL ? SECOND ORDER BY marked LIMIT ?"
	}
}

func deleteClaims(d Dialect, table string) string {
	old := " WHERE ends < " + now(d)
	switch d {
	case Postgres:
		return "DELETE FROM " + table + " WHERE ctid = ANY (ARRAY(SELECT ctid FROM " + table +
			old + " - $1::bigint * 1000000 LIMIT $2::bigint FOR UPDATE SKIP LOCKED))"
	case SQLite:
		return "DELETE FROM " + table + " WHERE rowid IN (SELECT rowid FROM " + table + old + " - ? * 1000000 LIMIT ?)"
	default:
		return "DELETE FROM " + table + old + " - ? * 1000000 ORDER BY ends LIMIT ?"
	}
}

// waiting wraps an insert of PostgreSQL so that it waits for locks as long as the
// parameter says, and what comes after it as long as before, all in one statement.
// The insert reads from hapax_wait, so it begins once the time is set; what is told
// of its rows is an aggregate, so it has ended when the time is set back.
func waiting(insert, told string, wait int) string {
	return fmt.Sprintf("WITH hapax_wait AS MATERIALIZED (SELECT FROM %s), hapax_marked AS (%s) SELECT %s, %s FROM hapax_marked",
		hasten(fmt.Sprintf("$%d", wait)), insert, told, calm)
}

// hasten is a function of PostgreSQL to select from. It makes statements wait for locks
// as long as a parameter says; first it puts aside how long they did.
func hasten(parameter string) string {
	return "set_config('lock_timeout', " + parameter + "::text," +
		" set_config('hapax.lock_timeout', current_setting('lock_timeout'), true) IS NOT NULL)"
}

// calm is an expression of PostgreSQL that makes statements wait as before hasten.
const calm = "set_config('lock_timeout', current_setting('hapax.lock_timeout'), true)"

// Hasten makes the statements of a transaction wait for locks at most so long, until
// [Calm]. MariaDB counts whole seconds, MySQL no less than one.
func Hasten(d Dialect, wait time.Duration) string {
	seconds := wait.Round(time.Second) / time.Second
	switch d {
	case Postgres:
		return "SELECT FROM " + hasten(fmt.Sprintf("'%dms'", max(wait.Milliseconds(), 1)))
	case MySQL:
		seconds = max(seconds, 1)
	}
	return fmt.Sprintf("SET @hapax_lock_wait = @@SESSION.innodb_lock_wait_timeout, SESSION innodb_lock_wait_timeout = %d", seconds)
}

// Calm makes statements wait as they did before [Hasten].
func Calm(d Dialect) string {
	if d == Postgres {
		return "SELECT " + calm
	}
	return "SET SESSION innodb_lock_wait_timeout = @hapax_lock_wait"
}

// forWait makes the statement behind it wait for locks at most so long, which
// MariaDB counts in seconds: below half of one it does not wait. MySQL has no such
// thing for one statement, and [Hasten] for several.
func forWait(d Dialect, wait time.Duration) string {
	if d != MariaDB {
		return ""
	}
	return fmt.Sprintf("SET STATEMENT innodb_lock_wait_timeout=%d FOR ", wait.Round(time.Second)/time.Second)
}

func repeat(what string, n int) string { return strings.Repeat(what+", ", n-1) + what }
