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
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/hapaxmq/hapax/bench/report"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "inbox:", err)
		os.Exit(1)
	}
}

// bench is a run: its settings, and what it has measured.
type bench struct {
	ctx    context.Context
	quick  bool
	rounds int
	dir    string // for files
	next   int64  // number of a message
	lines  []report.Line
}

// row is one piece of work.
type row struct {
	name    string
	about   string
	measure func(*bench) error
}

func rows() []row {
	return []row{
		{"postgres", "marks in PostgreSQL", (*bench).postgres},
		{"mariadb", "marks in MariaDB", (*bench).mariadb},
		{"sqlite", "marks in SQLite", (*bench).sqlite},
		{"leases", "claims in Redis and in the embedded ledger", (*bench).leases},
		{"forget-postgres", "forgetting half of the marks", (*bench).forgetInPostgres},
		{"forget-elsewhere", "forgetting half of the marks", (*bench).forgetElsewhere},
	}
}

func run(args []string, out io.Writer) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{ctx: ctx}
	flags := flag.NewFlagSet("inbox", flag.ContinueOnError)
	flags.BoolVar(&b.quick, "quick", false, "a fiftieth of the sizes: to see that everything works")
	flags.IntVar(&b.rounds, "rounds", 5, "interleaved rounds; figures are medians")
	flags.StringVar(&b.dir, "dir", os.TempDir(), "folder for files, removed at the end")
	pattern := flags.String("rows", "", "measure only rows whose name matches this regular expression")
	asJSON := flags.Bool("json", false, "print JSON instead of a table")
	if err := flags.Parse(args); err != nil {
		return err
	}
	selected, err := regexp.Compile(*pattern)
	if err != nil {
		return fmt.Errorf("-rows: %w", err)
	}
	if b.dir, err = os.MkdirTemp(b.dir, "hapax-bench-"); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	for _, r := range rows() {
		if !selected.MatchString(r.name) {
			continue
		}
		began := time.Now()
		fmt.Fprintf(os.Stderr, "%s …", r.name)
		if err := r.measure(b); err != nil {
			b.lines = append(b.lines, report.Line{Row: r.name, Work: r.about, Error: err.Error()})
		}
		fmt.Fprintf(os.Stderr, " %v\n", time.Since(began).Round(time.Second))
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped: %w", err)
		}
	}
	result := &report.Report{Machine: report.Machine(ctx, b.dir, peers()), Lines: b.lines}
	if *asJSON {
		return result.JSON(out)
	}
	return result.Markdown(out)
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
