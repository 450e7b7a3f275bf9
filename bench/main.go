// Command bench measures the ledger beside its peers, all in one run, and
// prints one table.
//
//	go run . -quick                 a few minutes, small sizes: does it work?
//	go run .                        the whole table, an hour or so
//	go run . -rows 'batch|durable'  some rows
//
// It needs Linux, and for single rows: redis-server, g++ and librocksdb-dev,
// huniq (cargo install huniq), mawk, root for the cgroup. What is missing is
// said in its line of the table, and the others are measured.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
)

// config is what the command line says, and all that a row's process is told. Each row has a
// folder of its own in the run's.
type config struct {
	report.Config

	Hapax string // the binary to measure; empty: build it
}

func main() {
	if len(os.Args) == 4 && (os.Args[1] == "-child" || os.Args[1] == "-victim") {
		if err := child(os.Args[1:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	suite().Main()
}

// child does a task of another process of this program.
func child(args []string, out io.Writer) error {
	if err := serve(args[1], json.RawMessage(args[2]), out); err != nil || args[0] == "-child" {
		return err
	}
	time.Sleep(time.Hour) // to be killed
	return nil
}

func suite() *report.Suite {
	c := &config{}
	s := &report.Suite{
		Name: "bench", Quick: "a hundredth of the sizes", Files: "; up to 15 GB", Peers: peers,
		Flags: func(f *flag.FlagSet) {
			f.StringVar(&c.Hapax, "hapax", "", "hapax binary to measure (default: build it)")
		},
		Open: func(_ context.Context, given report.Config) error {
			c.Config = given
			if c.Quick {
				return nil
			}
			return measure.Warm(math.MaxInt64)
		},
	}
	for _, r := range rows() {
		s.Rows = append(s.Rows, report.Row{Name: r.name, About: r.about, Measure: func(ctx context.Context) ([]report.Line, error) {
			return measureRow(ctx, *c, r)
		}})
	}
	return s
}

func peers() report.Peers {
	return report.Peers{
		Libraries: map[string]string{
			"github.com/cockroachdb/pebble/v2": "Pebble",
			"github.com/mattn/go-sqlite3":      "SQLite (go-sqlite3)",
			"go.etcd.io/bbolt":                 "bbolt",
			"github.com/dchest/siphash":        "siphash",
		},
		Programs: []report.Program{
			{Name: "Redis", Command: []string{"redis-server", "--version"}},
			{Name: "RocksDB", Command: []string{"dpkg-query", "-W", "librocksdb-dev"}},
			{Name: "huniq", Command: []string{"huniq", "--version"}},
			{Name: "mawk", Command: []string{"mawk", "-W", "version"}},
		},
	}
}

// measureRow measures a row in a process of its own, so that none inherits memory, garbage
// or a fault from another, and returns its lines. Those made before an error are kept.
func measureRow(ctx context.Context, c config, r row) (lines []report.Line, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.limit, fmt.Errorf("took longer than %v", r.limit))
	defer cancel()
	if c.Dir, err = os.MkdirTemp(c.Dir, r.name+"-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.Dir)) }()
	args, err := json.Marshal(rowArgs{r.name, c})
	if err != nil {
		return nil, err
	}
	process, err := measure.Self(ctx, "-child", "row", string(args))
	if err != nil {
		return nil, err
	}
	stdout, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	for decoder := json.NewDecoder(stdout); ; {
		var l report.Line
		if err := decoder.Decode(&l); err != nil {
			break // the end, or the child died: Wait tells which
		}
		lines = append(lines, l)
	}
	if err := process.Wait(); err != nil {
		return lines, errors.Join(err, context.Cause(ctx))
	}
	return lines, nil
}
