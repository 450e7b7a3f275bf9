// Command inbox measures handlers that run once for each message beside what one
// would write by hand for it, in one run, and prints one table.
//
//	go run ./inbox -quick               a minute: does it work?
//	go run ./inbox                      the whole table
//	go run ./inbox -rows 'postgres'     some rows
//
// It needs the servers that scripts/services starts. What is missing is said in its
// line of the table, and the others are measured.
package main

import (
	"context"

	"github.com/hapaxmq/hapax/bench/report"
)

func main() { suite().Main() }

func suite() *report.Suite {
	b := &bench{}
	row := func(name, about string, measure func(*bench) error) report.Row {
		return report.Row{Name: name, About: about, Measure: func(context.Context) ([]report.Line, error) {
			b.lines = nil
			err := measure(b)
			return b.lines, err
		}}
	}
	return &report.Suite{
		Name: "inbox", Quick: "a fiftieth of the sizes", Peers: peers,
		Open: func(ctx context.Context, c report.Config) error {
			b.ctx, b.quick, b.rounds, b.dir = ctx, c.Quick, c.Rounds, c.Dir
			return nil
		},
		Rows: []report.Row{
			row("postgres", "marks in PostgreSQL", (*bench).postgres),
			row("pgx", "the same without database/sql", (*bench).pgx),
			row("mariadb", "marks in MariaDB", (*bench).mariadb),
			row("sqlite", "marks in SQLite", (*bench).sqlite),
			row("leases", "claims in Redis and in the embedded ledger", (*bench).leases),
			row("forget-postgres", "forgetting half of the marks", (*bench).forgetInPostgres),
			row("forget-elsewhere", "forgetting half of the marks", (*bench).forgetElsewhere),
		},
	}
}

// bench is a run: its settings, and what the row has measured.
type bench struct {
	ctx    context.Context
	quick  bool
	rounds int
	dir    string // for files
	next   int64  // number of a message
	lines  []report.Line
}

func peers() report.Peers {
	return report.Peers{
		Libraries: map[string]string{
			"github.com/jackc/pgx/v5":        "driver of PostgreSQL: pgx",
			"github.com/go-sql-driver/mysql": "driver of MariaDB",
			"github.com/mattn/go-sqlite3":    "driver of SQLite: mattn/go-sqlite3",
			"github.com/redis/go-redis/v9":   "client of Redis: go-redis",
		},
		Programs: []report.Program{
			{Name: "PostgreSQL", Command: []string{"psql", "-h", "127.0.0.1", "-p", "54329", "-U", "hapax", "-d", "hapax", "-qtAc", "show server_version"}},
			{Name: "MariaDB", Command: []string{"mariadb", "--version"}},
			{Name: "Redis", Command: []string{"redis-server", "--version"}},
		},
	}
}

// size is n, or a fiftieth of it in a quick run.
func (b *bench) size(n int) int {
	if b.quick {
		return max(n/50, 100)
	}
	return n
}
