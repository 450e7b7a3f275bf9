package sqltext

import (
	"fmt"
	"strconv"
	"strings"
)

// IDs is the table of ids that callers gave, beside an outbox.
func IDs(outbox string) string { return outbox + "_ids" }

// Outgoing is a row of an outbox.
type Outgoing struct {
	Shard    int
	ID       string
	Named    []byte // nil: none
	Topic    string
	OrderKey []byte
	Headers  []byte
	Payload  []byte // nil: none
}

const outgoing = " (shard, id, named, topic, order_key, headers, payload) "

// Put inserts rows into an outbox, in their order.
func Put(d Dialect, table string, rows []Outgoing) (statement string, args []any) {
	switch {
	case d == Postgres && len(rows) == 1:
		r := rows[0]
		return "INSERT INTO " + table + outgoing +
				"VALUES ($1::smallint, $2::text, $3::bytea, $4::text, $5::bytea, $6::bytea, $7::bytea)",
			[]any{r.Shard, r.ID, r.Named, r.Topic, r.OrderKey, r.Headers, r.Payload}
	case d == Postgres:
		return "INSERT INTO " + table + outgoing + "SELECT * FROM unnest" +
				"($1::smallint[], $2::text[], $3::bytea[], $4::text[], $5::bytea[], $6::bytea[], $7::bytea[])", []any{
				Array(rows, 3, func(dst []byte, r Outgoing) []byte { return strconv.AppendInt(dst, int64(r.Shard), 10) }),
				Array(rows, 40, func(dst []byte, r Outgoing) []byte { return appendText(dst, r.ID) }),
				Array(rows, 70, func(dst []byte, r Outgoing) []byte { return AppendBytea(dst, r.Named) }),
				Array(rows, 20, func(dst []byte, r Outgoing) []byte { return appendText(dst, r.Topic) }),
				Array(rows, 40, func(dst []byte, r Outgoing) []byte { return AppendBytea(dst, r.OrderKey) }),
				Array(rows, 40, func(dst []byte, r Outgoing) []byte { return AppendBytea(dst, r.Headers) }),
				Array(rows, 100, func(dst []byte, r Outgoing) []byte { return AppendBytea(dst, r.Payload) }),
			}
	}
	text := "_utf8mb4 x'%x'"
	if d == SQLite {
		text = "CAST(x'%x' AS TEXT)"
	}
	var values strings.Builder
	for i, r := range rows {
		if i > 0 {
			values.WriteByte(',')
		}
		fmt.Fprintf(&values, "(%d, "+text+", %s, "+text+", x'%x', x'%x', %s)",
			r.Shard, r.ID, binary(r.Named), r.Topic, r.OrderKey, r.Headers, binary(r.Payload))
	}
	return "INSERT INTO " + table + outgoing + "VALUES " + values.String(), nil
}

// binary writes a value of bytes as MySQL and SQLite do; nil is NULL.
func binary(value []byte) string {
	if value == nil {
		return "NULL"
	}
	return fmt.Sprintf("x'%x'", value)
}

// appendText appends an element of text to an array of PostgreSQL.
func appendText(dst []byte, value string) []byte {
	dst = append(dst, '"')
	for i := range len(value) {
		if c := value[i]; c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, value[i])
	}
	return append(dst, '"')
}
