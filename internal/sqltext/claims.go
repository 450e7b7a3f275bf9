package sqltext

import (
	"fmt"
	"strconv"
	"strings"
)

// The states of a claim.
const (
	Released  = 0
	Claimed   = 1
	Committed = 2
)

// now is the server's clock as it stood when the statement began, in microseconds
// since 1970. A statement that waits judges leases by an earlier time than it could,
// and so never ends one too soon.
func now(d Dialect) string {
	switch d {
	case Postgres:
		return "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"
	case SQLite: // which counts milliseconds
		return "((CAST(strftime('%s', 'now') AS INTEGER) * 1000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER)) * 1000)"
	default:
		return "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
	}
}

// Claim is what one statement asks for a message.
type Claim struct {
	ID     []byte
	Digest int64
	Nonce  int64 // drawn for the question
	Lease  int64 // in microseconds
}

// claimed are the columns that tell of a claim: id, state, token, nonce, digest, ends,
// receipt, and whether there is one, since not every driver tells an empty one from none.
const claimed = "id, state, token, nonce, digest, ends, receipt, receipt IS NOT NULL"

// ClaimAll claims messages whose ids are different and in their order, and tells of
// each the claim that holds now: that of the question, or another's, or that it is
// committed. Of one that others change at the moment it may tell nothing. In SQLite it
// tells only of those that it claimed, in MySQL of none: [LookAtClaims] does.
func ClaimAll(d Dialect, table string, claims []Claim) (statement string, args []any) {
	switch d {
	case Postgres:
		return claimPostgres(table), []any{
			Array(claims, 70, func(dst []byte, c Claim) []byte { return AppendBytea(dst, c.ID) }),
			Array(claims, 20, func(dst []byte, c Claim) []byte { return strconv.AppendInt(dst, c.Digest, 10) }),
			Array(claims, 20, func(dst []byte, c Claim) []byte { return strconv.AppendInt(dst, c.Nonce, 10) }),
			Array(claims, 20, func(dst []byte, c Claim) []byte { return strconv.AppendInt(dst, c.Lease, 10) }),
		}
	case SQLite:
		return "INSERT INTO " + table + " AS c (id, state, token, nonce, digest, ends) VALUES " + claimRows(now(d), now(d), claims) +
			reclaims + " RETURNING " + claimed, nil
	case MariaDB:
		return claimMySQL(table, now(d), "GREATEST(VALUES(token), token + 1), token", claims) + " RETURNING " + claimed, nil
	default:
		return claimMySQL(table, now(d), "GREATEST(VALUES(token), token + 1), token", claims), nil
	}
}

// ClaimOne is [ClaimAll] of one message in MySQL. The last insert id is the token,
// which is also when the lease began; or 0, and then [LookAtClaims] tells.
func ClaimOne(table string, c Claim) string {
	return claimMySQL(table, "LAST_INSERT_ID("+now(MySQL)+")", "IF(VALUES(token) > token,"+
		" LAST_INSERT_ID(VALUES(token)), LAST_INSERT_ID(0) + token + 1), LAST_INSERT_ID(0) + token", []Claim{c})
}

// claimPostgres reads first, in the same statement: an insert locks a row that it does
// not change, and waits for the disk as if it had.
func claimPostgres(table string) string {
	return "WITH asked AS (SELECT id, digest, nonce, lease, " + now(Postgres) + " AS now" +
		" FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[]) AS a (id, digest, nonce, lease))," +
		" known AS (SELECT c.* FROM asked a JOIN " + table + " AS c ON c.id = a.id WHERE c.state > 0 AND c.ends > a.now)," +
		" made AS (INSERT INTO " + table + " AS c (id, state, token, nonce, digest, ends)" +
		" SELECT id, 1, now, nonce, digest, now + lease FROM asked" +
		" WHERE NOT EXISTS (SELECT FROM known WHERE known.id = asked.id) ORDER BY id" + reclaims + " RETURNING *)" +
		" SELECT " + claimed + " FROM known UNION ALL SELECT " + claimed + " FROM made"
}

// reclaims are what an insert does if the row is there: excluded.token is the time.
const reclaims = " ON CONFLICT (id) DO UPDATE SET state = 1," +
	" token = CASE WHEN excluded.token > c.token THEN excluded.token ELSE c.token + 1 END," +
	" nonce = excluded.nonce, digest = excluded.digest, ends = excluded.ends, receipt = NULL" +
	" WHERE c.state = 0 OR c.ends <= excluded.token"

// claimMySQL makes its assignments from left to right, so that the nonce tells the
// others whether the claim is had. VALUES(token) is the time.
func claimMySQL(table, first, token string, claims []Claim) string {
	const had = "IF(nonce = VALUES(nonce), "
	return "INSERT INTO " + table + " (id, state, token, nonce, digest, ends) VALUES " + claimRows(first, now(MySQL), claims) +
		" ON DUPLICATE KEY UPDATE nonce = IF(state = 0 OR ends <= VALUES(token), VALUES(nonce), nonce)," +
		" digest = " + had + "VALUES(digest), digest), receipt = " + had + "NULL, receipt), token = " + had + token + ")," +
		" ends = " + had + "VALUES(ends), ends), state = " + had + "1, state)"
}

func claimRows(token, now string, claims []Claim) string {
	var rows strings.Builder
	for i, c := range claims {
		if i > 0 {
			rows.WriteByte(',')
		}
		fmt.Fprintf(&rows, "(x'%x', 1, %s, %d, %d, %s + %d)", c.ID, token, c.Nonce, c.Digest, now, c.Lease)
	}
	return rows.String()
}

// LookAtClaims tells of claims that hold, and of what is committed, by ids, as
// [ClaimAll] does.
func LookAtClaims(d Dialect, table string, claims []Claim) (statement string, args []any) {
	statement = "SELECT " + claimed + " FROM " + table + " WHERE state > 0 AND ends > " + now(d) + " AND id "
	if d == Postgres {
		return statement + "= ANY($1::bytea[])", []any{Array(claims, 70, func(dst []byte, c Claim) []byte { return AppendBytea(dst, c.ID) })}
	}
	return statement + "IN (" + joined(claims, func(c Claim) []byte { return c.ID }) + ")", nil
}

// Commit is what is remembered of a claim.
type Commit struct {
	ID      []byte
	Token   int64
	Receipt []byte // nil: none
}

// CommitAll commits claims that have their tokens, for a window in microseconds. The rows
// affected are those that were not committed before.
func CommitAll(d Dialect, table string, window int64, commits []Commit) (statement string, args []any) {
	ends := now(d) + " + " + strconv.FormatInt(window, 10)
	if d == Postgres {
		return "UPDATE " + table + " AS c SET state = 2, ends = " + ends + ", receipt = a.receipt" +
				" FROM unnest($1::bytea[], $2::bigint[], $3::bytea[]) AS a (id, token, receipt)" +
				" WHERE c.id = a.id AND c.token = a.token AND c.state = 1", []any{
				Array(commits, 70, func(dst []byte, c Commit) []byte { return AppendBytea(dst, c.ID) }),
				Array(commits, 20, func(dst []byte, c Commit) []byte { return strconv.AppendInt(dst, c.Token, 10) }),
				Array(commits, 70, func(dst []byte, c Commit) []byte { return AppendBytea(dst, c.Receipt) }),
			}
	}
	var tokens, receipts strings.Builder
	for _, c := range commits {
		fmt.Fprintf(&tokens, " WHEN x'%x' THEN %d", c.ID, c.Token)
		if c.Receipt != nil {
			fmt.Fprintf(&receipts, " WHEN x'%x' THEN x'%x'", c.ID, c.Receipt)
		}
	}
	receipt := "NULL"
	if receipts.Len() > 0 {
		receipt = "CASE id" + receipts.String() + " END"
	}
	return "UPDATE " + table + " SET ends = " + ends + ", receipt = " + receipt + ", state = 2 WHERE id IN (" +
		joined(commits, func(c Commit) []byte { return c.ID }) + ") AND token = CASE id" + tokens.String() + " END AND state = 1", nil
}

// LookAtCommits tells which of commits are there: id, token.
func LookAtCommits(d Dialect, table string, commits []Commit) (statement string, args []any) {
	statement = "SELECT id, token FROM " + table + " WHERE state = 2 AND id "
	if d == Postgres {
		return statement + "= ANY($1::bytea[])", []any{Array(commits, 70, func(dst []byte, c Commit) []byte { return AppendBytea(dst, c.ID) })}
	}
	return statement + "IN (" + joined(commits, func(c Commit) []byte { return c.ID }) + ")", nil
}

// Extend prolongs a claim by microseconds from now, and tells when it ends: in one row, or
// in MySQL as the last insert id. If the token is not its any more, it tells nothing.
func Extend(d Dialect, table string, id []byte, token, lease int64) (statement string, args []any) {
	ends := fmt.Sprintf("%s + %d", now(d), lease)
	where := fmt.Sprintf(" WHERE id = x'%x' AND token = %d AND state = 1", id, token)
	switch d {
	case Postgres:
		return "UPDATE " + table + " SET ends = greatest(ends, " + now(d) + " + $3::bigint)" +
			" WHERE id = $1::bytea AND token = $2::bigint AND state = 1 RETURNING ends", []any{id, token, lease}
	case SQLite:
		return "UPDATE " + table + " SET ends = max(ends, " + ends + ")" + where + " RETURNING ends", nil
	default:
		return "UPDATE " + table + " SET ends = LAST_INSERT_ID(GREATEST(ends, " + ends + "))" + where, nil
	}
}

// Release gives a claim back: id, token. The rows affected tell whether it had the token.
func Release(d Dialect, table string, id []byte, token int64) (statement string, args []any) {
	statement = "UPDATE " + table + " SET state = 0, ends = " + now(d) + " WHERE "
	if d == Postgres {
		return statement + "id = $1::bytea AND token = $2::bigint AND state = 1", []any{id, token}
	}
	return statement + fmt.Sprintf("id = x'%x' AND token = %d AND state = 1", id, token), nil
}

// Expire lets a message go, whether claimed or committed. The rows affected tell whether it
// was there.
func Expire(d Dialect, table string, id []byte) (statement string, args []any) {
	statement = "UPDATE " + table + " SET ends = " + now(d) + ", state = 0, digest = 0, receipt = NULL" +
		" WHERE state > 0 AND ends > " + now(d) + " AND id = "
	if d == Postgres {
		return statement + "$1::bytea", []any{id}
	}
	return statement + fmt.Sprintf("x'%x'", id), nil
}

// joined writes the ids of a list as MySQL and SQLite do.
func joined[E any](list []E, id func(E) []byte) string {
	dst := make([]byte, 0, 70*len(list))
	for i, e := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendBinary(dst, id(e))
	}
	return string(dst)
}
