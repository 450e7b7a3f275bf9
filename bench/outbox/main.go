// Command outbox measures records on their way from a database into a broker, and keys of
// HTTP requests, beside what one would write by hand for it, in one run, and prints one
// table. Clients, database and brokers share the machine.
//
//	go run ./outbox -quick               a minute or two: does it work?
//	go run ./outbox                      the whole table
//	go run ./outbox -rows 'drain|put'    some rows
//
// It needs the servers that scripts/services starts, and Java 17 and Maven for Apache
// Kafka. What is missing is said in its line of the table, and the others are measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/server"
)

func main() { suite().Main() }

// bench is a run: its settings, the servers, and what the row has measured.
type bench struct {
	ctx    context.Context
	quick  bool
	rounds int
	dir    string // for files
	binary string // that is measured; empty: it is built
	pool   *pgxpool.Pool
	nodes  []*server.Node // ours first
	lines  []report.Line
}

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
		Name: "outbox", Quick: "a fiftieth of the sizes", Peers: b.peers,
		Flags: func(f *flag.FlagSet) {
			f.StringVar(&b.binary, "hapax", "", "hapax binary to measure (default: build it)")
		},
		Open: b.open, Close: b.close,
		Rows: []report.Row{
			row("put", "a record into a transaction", (*bench).put),
			row("drain", "what piled up, from PostgreSQL into a broker", (*bench).drain),
			row("latency", "from commit to who reads committed", (*bench).latency),
			row("http", "keys of HTTP requests", (*bench).http),
		},
	}
}

func (b *bench) peers() report.Peers {
	return report.Peers{
		Libraries: map[string]string{
			"github.com/jackc/pgx/v5":      "driver of PostgreSQL: pgx",
			"github.com/twmb/franz-go":     "client of Kafka: franz-go",
			"github.com/redis/go-redis/v9": "client of Redis: go-redis",
		},
		Programs: []report.Program{
			{Name: "PostgreSQL", Command: []string{"psql", "-h", "127.0.0.1", "-p", "54329", "-U", "hapax", "-d", "hapax", "-qtAc", "show server_version"}},
			{Name: "Redis", Command: []string{"redis-server", "--version"}},
			{Name: "Java", Command: []string{"java", "-version"}},
		},
		Others: []report.Fact{{Name: "Apache Kafka", Value: server.KafkaVersion + ", 1 GiB heap"}},
	}
}

func (b *bench) open(ctx context.Context, c report.Config) (err error) {
	b.ctx, b.quick, b.rounds, b.dir = ctx, c.Quick, c.Rounds, c.Dir
	config, err := pgxpool.ParseConfig("postgres://hapax@127.0.0.1:54329/hapax?sslmode=disable")
	if err != nil {
		return err
	}
	config.MaxConns = 40
	b.pool, err = pgxpool.NewWithConfig(ctx, config)
	return err
}

func (b *bench) close() (err error) {
	for _, n := range b.nodes {
		err = errors.Join(err, n.End(syscall.SIGKILL))
	}
	b.pool.Close()
	return err
}

// brokers starts ours and Apache Kafka, unless they run.
func (b *bench) brokers() error {
	if len(b.nodes) > 0 {
		return nil
	}
	if b.binary == "" {
		b.binary = filepath.Join(b.dir, "hapax")
		if err := measure.Go(b.ctx, "build", "-o", b.binary, "./cmd/hapax"); err != nil {
			return err
		}
	}
	ours, err := server.Hapax(b.binary, filepath.Join(b.dir, "data"))
	if err != nil {
		return err
	}
	all := []*server.Node{ours}
	jars, err := server.KafkaJars(b.ctx)
	if err == nil {
		var kafka *server.Node
		if kafka, err = server.Kafka(b.ctx, b.dir, jars, "Apache Kafka", ""); err == nil {
			all = append(all, kafka)
		}
	}
	if err != nil {
		b.add(report.Line{Work: "into Apache Kafka", Error: err.Error()})
	}
	for _, n := range all {
		if err := n.Start(b.ctx); err != nil {
			return fmt.Errorf("start %s: %w", n.Name, err)
		}
		b.nodes = append(b.nodes, n)
	}
	return nil
}

func (b *bench) add(l report.Line) { b.lines = append(b.lines, l) }

// size is n, or a fiftieth of it in a quick run.
func (b *bench) size(n int) int {
	if b.quick {
		return max(n/50, 100)
	}
	return n
}
