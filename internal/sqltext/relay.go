package sqltext

import (
	"fmt"
	"strconv"
	"strings"
)

// Relays is the table of who relays which shard, beside an outbox.
func Relays(outbox string) string { return outbox + "_relays" }

// Statement is one of SQL, with its arguments.
type Statement struct {
	Text string
	Args []any
}

// Notify tells who listens to an outbox of PostgreSQL that there are records: see [Listen].
func Notify(outbox string) Statement {
	return Statement{Text: "SELECT pg_notify($1::text, '')", Args: []any{Bare(outbox)}}
}

// Listen is what hears [Notify]. Outboxes of one name in several schemas wake each other's
// relays, which does no harm.
func Listen(outbox string) string { return `LISTEN "` + Bare(outbox) + `"` }

// bind puts arguments where a text has question marks: numbers, texts, and lists of
// numbers, each of which becomes the comparison that a value is among them. PostgreSQL
// keeps the plan of a text, so it gets them beside it; the others get them as part of it,
// for parameters would cost a round trip to prepare it.
func bind(d Dialect, text string, args ...any) Statement {
	var b strings.Builder
	var s Statement
	for _, arg := range args {
		before, after, _ := strings.Cut(text, "?")
		b.WriteString(before)
		text = after
		if d == Postgres {
			s.Args = append(s.Args, postgresArg(&b, len(s.Args)+1, arg))
			continue
		}
		switch arg := arg.(type) {
		case []int64:
			b.WriteString("IN (" + strings.Trim(numbers(arg), "{}") + ")")
		case string:
			if d == SQLite {
				fmt.Fprintf(&b, "CAST(x'%x' AS TEXT)", arg)
			} else {
				fmt.Fprintf(&b, "_utf8mb4 x'%x'", arg)
			}
		default:
			fmt.Fprint(&b, arg)
		}
	}
	b.WriteString(text)
	s.Text = b.String()
	return s
}

func postgresArg(b *strings.Builder, n int, arg any) any {
	switch list := arg.(type) {
	case []int64:
		fmt.Fprintf(b, "= ANY($%d::bigint[])", n)
		return numbers(list)
	case string:
		fmt.Fprintf(b, "$%d::text", n)
	default:
		fmt.Fprintf(b, "$%d::bigint", n)
	}
	return arg
}

func numbers(list []int64) string {
	return Array(list, 8, func(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) })
}

// MakeShard makes the row of a shard unless it is there.
func MakeShard(d Dialect, outbox string, shard int, name string) Statement {
	insert, unless := "INSERT INTO ", " ON CONFLICT DO NOTHING"
	if d == MySQL || d == MariaDB {
		insert, unless = "INSERT IGNORE INTO ", ""
	}
	return bind(d, insert+Relays(outbox)+" (shard, name) VALUES (?, ?)"+unless, shard, name)
}

// Shards tells of all shards: shard, name, holder, 1 if its lease has ended, claimant.
func Shards(d Dialect, outbox string) Statement {
	return Statement{Text: "SELECT shard, name, holder, CASE WHEN ends <= " + now(d) + " THEN 1 ELSE 0 END, claimant FROM " +
		Relays(outbox) + " ORDER BY shard"}
}

// LastShard is the highest shard that has a row.
func LastShard(outbox string) Statement {
	return Statement{Text: "SELECT coalesce(max(shard), 0) FROM " + outbox}
}

// KeepShards prolongs what a relay holds.
func KeepShards(d Dialect, outbox string, relay, lease int64) Statement {
	return bind(d, "UPDATE "+Relays(outbox)+" SET ends = "+now(d)+" + ? WHERE holder = ?", lease, relay)
}

// TakeShard gives a relay a shard that it holds, or nobody: the rows affected tell.
// MySQL makes its assignments from left to right.
func TakeShard(d Dialect, outbox string, relay int64, shard int, lease int64) Statement {
	return bind(d, "UPDATE "+Relays(outbox)+" SET claimant = CASE WHEN holder = ? THEN claimant ELSE 0 END, holder = ?, ends = "+
		now(d)+" + ? WHERE shard = ? AND (holder = ? OR holder = 0 OR ends <= "+now(d)+")", relay, relay, lease, shard, relay)
}

// AskForShard says that a relay wants what another holds, unless a third one does.
func AskForShard(d Dialect, outbox string, relay int64, shard int) Statement {
	return bind(d, "UPDATE "+Relays(outbox)+" SET claimant = ? WHERE shard = ? AND claimant = 0 AND holder <> ?", relay, shard, relay)
}

// GiveShard gives what a relay holds to the one that asks, or to nobody.
func GiveShard(d Dialect, outbox string, relay int64, shard int, lease int64) Statement {
	return bind(d, "UPDATE "+Relays(outbox)+" SET holder = claimant, ends = CASE WHEN claimant = 0 THEN 0 ELSE "+now(d)+
		" + ? END, claimant = 0 WHERE shard = ? AND holder = ?", lease, shard, relay)
}

// WaitingShards tells which shards of a relay have rows that are not set aside: such as wait
// behind one that is, and those of a batch too.
func WaitingShards(d Dialect, outbox string, relay int64) Statement {
	return bind(d, "SELECT r.shard FROM "+Relays(outbox)+" AS r WHERE r.holder = ? AND (SELECT 1 FROM "+outbox+
		" AS o WHERE o.shard = r.shard AND o.fault IS NULL LIMIT 1) IS NOT NULL", relay)
}

// HoldShard locks the row of a shard that a relay holds until the end of the transaction, and
// prolongs its lease. PostgreSQL and SQLite return the row as [Shard] does, if there is one; of
// the others the rows affected tell.
func HoldShard(d Dialect, outbox string, relay int64, shard int, lease int64) Statement {
	text := "UPDATE " + Relays(outbox) + " SET ends = " + now(d) + " + ? WHERE shard = ? AND holder = ?"
	if Returns(d) {
		text += " RETURNING " + held
	}
	return bind(d, text, lease, shard, relay)
}

// Returns tells whether updates can return rows.
func Returns(d Dialect) bool { return d == Postgres || d == SQLite }

const held = "batch, faults, coalesce(sealed, '')"

// Shard tells of a shard: its last batch, how many rows have faults, and the positions of the
// batch if it is sealed.
func Shard(d Dialect, outbox string, shard int) Statement {
	return bind(d, "SELECT "+held+" FROM "+Relays(outbox)+" WHERE shard = ?", shard)
}

// LockShard locks the row of a shard until the end of the transaction, whoever holds it.
func LockShard(d Dialect, outbox string, shard int) Statement {
	return bind(d, "UPDATE "+Relays(outbox)+" SET faults = faults WHERE shard = ?", shard)
}

// Unsealed tells of the first rows of a shard that has no batch: position, size, age in
// microseconds. If there are faults, it leaves out the order keys that have them.
func Unsealed(d Dialect, outbox string, shard int, faults bool, most int) Statement {
	text := "SELECT position, length(order_key) + length(headers) + coalesce(length(payload), 0), " + age(d, "put") + " FROM " + outbox +
		" WHERE shard = ? AND fault IS NULL"
	args := []any{shard}
	if faults {
		text += " AND (length(order_key) = 0 OR order_key NOT IN (SELECT order_key FROM " + outbox +
			" WHERE shard = ? AND fault IS NOT NULL))"
		args = append(args, shard)
	}
	return bind(d, text+" ORDER BY position LIMIT ?", append(args, most)...)
}

// RelaySettings are PostgreSQL's for the statements that follow in its transaction. They are planned so that
// they read tables along their indexes. The rows of an outbox come and go. A plan that was made while the
// table was small, to read it from end to end or by a bitmap of a whole shard, is kept; by then
// most of what it reads is dead. Who walks along an index marks what is dead as such. Nor is such a statement
// compiled, as those are that the planner takes for long. Its commit does not wait for the disk: [Sealed] does.
const RelaySettings = "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true)," +
	" set_config('synchronous_commit', 'off', true)"

// Step is, in PostgreSQL, all that a relay does between two batches, in one statement and so in one
// round trip: it holds a shard whose last batch it knows, deletes the rows of that, and seals
// the next, which it returns: the last batch, then as [ReadOutgoing] does, and the age in
// microseconds. One row without a position says that there is none; no row, that the shard or its last batch
// are another's, or that a crash has taken the step before. What it reads is of the moment it
// began; but whoever else might have changed it meanwhile has changed holder or last batch too, and those are looked at under the row's lock.
func Step(outbox string, relay int64, shard int, lease, last int64, named bool, published []int64, records, bytes int) Statement {
	const size = "length(order_key) + length(headers) + coalesce(length(payload), 0)"
	text := "WITH old AS (SELECT unnest(?::bigint[]) AS position), fit AS (" +
		"SELECT *, sum(" + size + ") OVER (ORDER BY position) - (" + size + ") AS before FROM (" +
		"SELECT * FROM (SELECT * FROM " + outbox + " WHERE shard = ? AND fault IS NULL" + // by the index alone
		" AND (length(order_key) = 0 OR order_key NOT IN (SELECT order_key FROM " + outbox + " WHERE shard = ? AND fault IS NOT NULL))" +
		" ORDER BY position LIMIT ?) AS near WHERE position NOT IN (SELECT position FROM old)" +
		" ORDER BY position LIMIT ?) AS first), next AS MATERIALIZED (" +
		"SELECT * FROM fit WHERE before = 0 OR before + " + size + " <= ?), held AS (" +
		"UPDATE " + Relays(outbox) + " SET ends = " + now(Postgres) + " + ?, batch = batch + CASE WHEN EXISTS (SELECT FROM next) THEN 1 ELSE 0 END," +
		" sealed = (SELECT string_agg(position::text, ',' ORDER BY position) FROM next)" +
		" WHERE shard = ? AND holder = ? AND batch = ? AND coalesce(sealed, '') = ? RETURNING batch)"
	args := []any{numbers(published), shard, shard, records + len(published), records, bytes, lease, shard, relay, last, Positions(published)}
	gone := outbox + " WHERE shard = ? AND position IN (SELECT position FROM old) AND EXISTS (SELECT FROM held)"
	if named {
		text += ", marks AS (UPDATE " + IDs(outbox) + " SET marked = now() WHERE id IN (SELECT named FROM " + gone + " AND named IS NOT NULL))"
		args = append(args, shard)
	}
	text += ", gone AS (DELETE FROM " + gone + ") SELECT h.batch, n.position, n.named IS NOT NULL, n.id, n.topic, n.order_key, n.headers, n.payload," +
		" n.payload IS NOT NULL, " + age(Postgres, "n.put") + " FROM held AS h LEFT JOIN next AS n ON true ORDER BY n.position"
	return bind(Postgres, text, append(args, shard)...)
}

// Sealed tells, in PostgreSQL, by a row that a relay holds a shard and which batch was its last. Behind its
// commit that is on disk, as whatever was committed before: it locks the row, and so has something to write.
func Sealed(outbox string, relay int64, shard int, batch int64) Statement {
	return bind(Postgres, "SELECT batch FROM "+Relays(outbox)+" WHERE shard = ? AND holder = ? AND batch = ? FOR UPDATE", shard, relay, batch)
}

// Seal makes a batch of the rows at some positions.
func Seal(d Dialect, outbox string, shard int, batch int64, positions []int64) Statement {
	return bind(d, "UPDATE "+Relays(outbox)+" SET batch = ?, sealed = ? WHERE shard = ?", batch, Positions(positions), shard)
}

// Unseal ends a batch, or its rows are in none, and none will have a number up to it.
func Unseal(d Dialect, outbox string, shard int, batch int64) Statement {
	return bind(d, "UPDATE "+Relays(outbox)+" SET batch = ?, sealed = NULL WHERE shard = ?", batch, shard)
}

// Positions are those of a batch as it is sealed.
func Positions(list []int64) string { return strings.Trim(numbers(list), "{}") }

// ParsePositions reads what [Positions] wrote.
func ParsePositions(sealed string) (list []int64, err error) {
	for text := range strings.SplitSeq(sealed, ",") {
		if text == "" {
			continue
		}
		position, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("a sealed batch: %q is no position", text)
		}
		list = append(list, position)
	}
	return list, nil
}

// ReadOutgoing reads rows in the order of their positions: position, whether the caller
// gave the id, id, topic, order key, headers, payload, and whether there is one, since not
// every driver tells an empty one from none.
func ReadOutgoing(d Dialect, outbox string, shard int, positions []int64) Statement {
	return bind(d, "SELECT position, named IS NOT NULL, id, topic, order_key, headers, payload, payload IS NOT NULL FROM "+outbox+
		" WHERE shard = ? AND position ? ORDER BY position", shard, positions)
}

// Forget deletes rows; of the ids that callers gave the retention counts from now on. MariaDB
// would ask a subquery for each id that it remembers, not only for those of the rows.
func Forget(d Dialect, outbox string, shard int, named bool, positions []int64) (all []Statement) {
	const rows = " WHERE shard = ? AND position ?"
	if named {
		text := "UPDATE " + IDs(outbox) + " AS i JOIN " + outbox + " AS o ON o.named = i.id SET i.marked = CURRENT_TIMESTAMP(3)" + rows
		if at := map[Dialect]string{Postgres: "now()", SQLite: "CAST(strftime('%s', 'now') AS INTEGER)"}[d]; at != "" {
			text = "UPDATE " + IDs(outbox) + " SET marked = " + at + " WHERE id IN (SELECT named FROM " + outbox + rows + " AND named IS NOT NULL)"
		}
		all = append(all, bind(d, text, shard, positions))
	}
	return append(all, bind(d, "DELETE FROM "+outbox+rows, shard, positions))
}

// SetAside says of a row why it can't be published.
func SetAside(d Dialect, outbox string, shard int, position int64, fault string) Statement {
	return bind(d, "UPDATE "+outbox+" SET fault = ? WHERE shard = ? AND position = ?", fault, shard, position)
}

// Faulty tells of rows that can't be published: shard, position, id, topic, order key,
// fault; those behind a position.
func Faulty(d Dialect, outbox string, after int64, most int) Statement {
	return bind(d, "SELECT shard, position, id, topic, order_key, fault FROM "+outbox+
		" WHERE fault IS NOT NULL AND position > ? ORDER BY position LIMIT ?", after, most)
}

// FaultyShards tells which rows of some positions have faults: shard, position, whether the
// caller gave the id.
func FaultyShards(d Dialect, outbox string, positions []int64) Statement {
	return bind(d, "SELECT shard, position, named IS NOT NULL FROM "+outbox+" WHERE fault IS NOT NULL AND position ? ORDER BY shard, position", positions)
}

// Absolve takes the faults of rows away.
func Absolve(d Dialect, outbox string, shard int, positions []int64) Statement {
	return bind(d, "UPDATE "+outbox+" SET fault = NULL WHERE shard = ? AND position ?", shard, positions)
}

// CountFaults counts the rows of a shard that can't be published.
func CountFaults(d Dialect, outbox string, shard int) Statement {
	return bind(d, "SELECT count(*) FROM "+outbox+" WHERE shard = ? AND fault IS NOT NULL", shard)
}

// KeepFaults keeps how many rows of a shard can't be published.
func KeepFaults(d Dialect, outbox string, shard int, faults int64) Statement {
	return bind(d, "UPDATE "+Relays(outbox)+" SET faults = ? WHERE shard = ?", faults, shard)
}

// Pending tells how many rows there are, how many of them can't be published, and the age
// of the oldest in microseconds. It reads all of them.
func Pending(d Dialect, outbox string) Statement {
	return Statement{Text: "SELECT count(*), count(fault), coalesce(" + age(d, "min(put)") + ", 0) FROM " + outbox}
}

// age is that of a time in microseconds.
func age(d Dialect, time string) string {
	switch d {
	case Postgres:
		return "(extract(epoch FROM clock_timestamp() - " + time + ") * 1000000)::bigint"
	case SQLite:
		return "(CAST(strftime('%s', 'now') AS INTEGER) - " + time + ") * 1000000"
	default:
		return "TIMESTAMPDIFF(MICROSECOND, " + time + ", CURRENT_TIMESTAMP(3))"
	}
}
