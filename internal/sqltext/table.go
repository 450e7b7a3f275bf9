package sqltext

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Probe is a statement that fails if a table is not there, and does nothing.
func Probe(table string) string { return "UPDATE " + table + " SET id = id WHERE 1 = 0" }

// Exclude returns the statements that take and free a lock of the session by its
// name. Both answer 1 for yes. Of a database that needs none they are empty.
func Exclude(d Dialect, wait bool) (lock, unlock string) {
	switch {
	case d == SQLite:
		return "", ""
	case d == Postgres && wait:
		return "SELECT 1 + length(pg_advisory_lock(hashtextextended($1::text, 0))::text)",
			"SELECT pg_advisory_unlock(hashtextextended($1::text, 0))::int"
	case d == Postgres:
		return "SELECT pg_try_advisory_lock(hashtextextended($1::text, 0))::int",
			"SELECT pg_advisory_unlock(hashtextextended($1::text, 0))::int"
	case wait:
		return "SELECT GET_LOCK(?, 60)", "SELECT RELEASE_LOCK(?)"
	default:
		return "SELECT GET_LOCK(?, 0)", "SELECT RELEASE_LOCK(?)"
	}
}

// Partitions of PostgreSQL are named by the table and the second they start at.

// MoveHorizon moves the horizon up to a time, unless it stands above, and tells where
// it stands now: timestamptz.
func MoveHorizon(table string) string {
	return "UPDATE " + table + "_horizon SET horizon = greatest(horizon, $1::timestamptz) RETURNING horizon"
}

// PartitionNames lists the partitions of a table, each with its state for
// [DropPartition], what a killed sweep left behind among them: its name.
func PartitionNames() string {
	return "SELECT c.relname::text, CASE WHEN i.inhrelid IS NULL THEN 'detached'" +
		" WHEN i.inhdetachpending THEN 'detaching' ELSE 'attached' END" +
		" FROM pg_class p JOIN pg_class c ON c.relnamespace = p.relnamespace AND c.relkind = 'r'" +
		" AND starts_with(c.relname::text, p.relname || '_p')" +
		" LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = p.oid" +
		" WHERE p.oid = $1::text::regclass"
}

// PartitionStart reads the name of a partition.
func PartitionStart(table, name string) (second int64, ok bool) {
	rest, ok := strings.CutPrefix(name, Bare(table)+"_p")
	if !ok {
		return 0, false
	}
	second, err := strconv.ParseInt(rest, 10, 64)
	return second, err == nil
}

// MakePartition makes the partition that starts at a time.
func MakePartition(table string, start time.Time, span time.Duration) string {
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s_p%d PARTITION OF %s FOR VALUES FROM ('%s') TO ('%s')",
		table, start.Unix(), table, start.UTC().Format(time.RFC3339), start.Add(span).UTC().Format(time.RFC3339))
}

// DropPartition drops the partition that starts at a second. It takes no lock that
// others would wait for.
func DropPartition(table string, start int64, state string) []string {
	name := fmt.Sprintf("%s_p%d", table, start)
	detach := "ALTER TABLE " + table + " DETACH PARTITION " + name
	drop := "DROP TABLE " + name
	switch state {
	case "detached":
		return []string{drop}
	case "detaching":
		return []string{detach + " FINALIZE", drop} //nolint:misspell // SQL's word
	default:
		return []string{detach + " CONCURRENTLY", drop}
	}
}
