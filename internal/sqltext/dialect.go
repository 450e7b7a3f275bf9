package sqltext

import (
	"embed"
	"fmt"
	"regexp"
	"strings"
)

// Dialect is the SQL that a database speaks.
type Dialect uint8

// The dialects.
const (
	Postgres Dialect = iota + 1 // PostgreSQL 14 and later
	MySQL                       // MySQL 8 and later
	MariaDB                     // MariaDB 10.5 and later
	SQLite                      // SQLite 3.35 and later
)

var dialects = [...]string{Postgres: "postgres", MySQL: "mysql", MariaDB: "mariadb", SQLite: "sqlite"}

func (d Dialect) String() string {
	if d.Valid() {
		return dialects[d]
	}
	return fmt.Sprintf("Dialect(%d)", uint8(d))
}

// Valid tells whether d is one of the dialects.
func (d Dialect) Valid() bool { return d > 0 && int(d) < len(dialects) }

// Kind is what a table is like.
type Kind string

// The kinds.
const (
	Inbox      Kind = "inbox"      // a row for each message
	Partitions Kind = "partitions" // the same, partitioned by the messages' time; PostgreSQL only
	Numbers    Kind = "numbers"    // a row for each numbering
	Claims     Kind = "claims"     // a row for each message that is claimed or committed
	Outbox     Kind = "outbox"     // a row for each record to be published, and one for each id that a caller gave
)

// Table is the name of a kind's table unless another is asked for. It is the
// name in the files of [Schemas].
func (k Kind) Table() string {
	switch k {
	case Numbers:
		return "hapax_numbers"
	case Claims:
		return "hapax_claims"
	case Outbox:
		return "hapax_outbox"
	default:
		return "hapax_inbox"
	}
}

// Schemas are the files of the schema, each named "dialect_kind.sql". MariaDB
// shares those of MySQL.
//
//go:embed schema
var Schemas embed.FS

// Schema returns the statements that make a table and what belongs to it, unless
// they are there.
func Schema(d Dialect, k Kind, table string) ([]string, error) {
	if d == MariaDB {
		d = MySQL
	}
	file, err := Schemas.ReadFile(fmt.Sprintf("schema/%v_%v.sql", d, k))
	if err != nil {
		return nil, fmt.Errorf("schema: no %v in %v", k, d)
	}
	text := schemaComment.ReplaceAllString(string(file), "")
	// An index is named without its table's schema, and stands in the same.
	name, bare := k.Table(), Bare(table)
	text = strings.NewReplacer(name+"_marked", bare+"_marked", name+"_ends", bare+"_ends", name+"_shard", bare+"_shard",
		name+"_faults", bare+"_faults",
		name+"_ids_marked", bare+"_ids_marked", name, table).Replace(text)
	var statements []string
	for _, s := range strings.Split(text, ";") {
		if s = strings.TrimSpace(s); s != "" {
			statements = append(statements, s)
		}
	}
	return statements, nil
}

var (
	schemaComment = regexp.MustCompile(`(?m)[ \t]*--.*$`)
	tableName     = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,47}$`)
)

// CheckTable refuses what is no plain name of a table, with or without its schema
// before a dot. The name becomes part of statements as it is.
func CheckTable(table string) error {
	if !tableName.MatchString(table) {
		return fmt.Errorf("table %q: want letters, digits and underscores, at most 48, behind a schema and a dot or not", table)
	}
	return nil
}

// Bare is the name of a table without its schema.
func Bare(table string) string { return table[strings.IndexByte(table, '.')+1:] }
