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
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
)

// config is what the command line says, and all that a row's process is told.
type config struct {
	Quick  bool
	Rounds int
	Dir    string // for files; each row has a folder of its own in it
	Hapax  string // the binary to measure; empty: build it
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) == 3 && (args[0] == "-child" || args[0] == "-victim") {
		if err := serve(args[1], json.RawMessage(args[2]), out); err != nil || args[0] == "-child" {
			return err
		}
		time.Sleep(time.Hour) // to be killed
		return nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c config
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&c.Quick, "quick", false, "a hundredth of the sizes: to see that everything works")
	flags.IntVar(&c.Rounds, "rounds", 5, "interleaved rounds; figures are medians")
	flags.StringVar(&c.Dir, "dir", os.TempDir(), "folder for files, removed at the end; up to 15 GB")
	flags.StringVar(&c.Hapax, "hapax", "", "hapax binary to measure (default: build it)")
	pattern := flags.String("rows", "", "measure only rows whose name matches this regular expression")
	asJSON := flags.Bool("json", false, "print JSON instead of a table")
	list := flags.Bool("list", false, "list the rows")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if c.Rounds < 1 {
		return errors.New("-rounds must be at least 1")
	}
	selected, err := regexp.Compile(*pattern)
	if err != nil {
		return fmt.Errorf("-rows: %w", err)
	}
	if *list {
		for _, r := range rows() {
			if _, err := fmt.Fprintf(out, "%-12s %s\n", r.name, r.about); err != nil {
				return err
			}
		}
		return nil
	}
	result, err := measureAll(ctx, c, selected)
	if err != nil {
		return err
	}
	if *asJSON {
		return result.JSON(out)
	}
	return result.Markdown(out)
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

// measureAll measures every selected row in a process of its own, so that
// none inherits memory, garbage or a fault from another.
func measureAll(ctx context.Context, c config, selected *regexp.Regexp) (result *report.Report, err error) {
	dir, err := os.MkdirTemp(c.Dir, "hapax-bench-")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if !c.Quick {
		if err := measure.Warm(math.MaxInt64); err != nil {
			return nil, err
		}
	}
	result = &report.Report{Machine: report.Machine(ctx, dir, peers())}
	for _, r := range rows() {
		if !selected.MatchString(r.name) {
			continue
		}
		start := time.Now()
		fmt.Fprintf(os.Stderr, "%s …", r.name)
		result.Lines = append(result.Lines, measureRow(ctx, c, dir, r)...)
		fmt.Fprintf(os.Stderr, " %v\n", time.Since(start).Round(time.Second))
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("stopped: %w", err)
		}
	}
	return result, nil
}

// measureRow returns the lines of one row. Those made before an error are kept.
func measureRow(ctx context.Context, c config, dir string, r row) []report.Line {
	ctx, cancel := context.WithTimeoutCause(ctx, r.limit, fmt.Errorf("took longer than %v", r.limit))
	defer cancel()
	var lines []report.Line
	err := func() (err error) {
		dir, err := os.MkdirTemp(dir, r.name+"-")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		c.Dir = dir
		args, err := json.Marshal(rowArgs{r.name, c})
		if err != nil {
			return err
		}
		child, err := measure.Self(ctx, "-child", "row", string(args))
		if err != nil {
			return err
		}
		stdout, err := child.StdoutPipe()
		if err != nil {
			return err
		}
		if err := child.Start(); err != nil {
			return err
		}
		decoder := json.NewDecoder(stdout)
		for {
			var l report.Line
			if err := decoder.Decode(&l); err != nil {
				break // the end, or the child died: Wait tells which
			}
			l.Row = r.name
			lines = append(lines, l)
		}
		if err := child.Wait(); err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		return nil
	}()
	if err != nil {
		lines = append(lines, report.Line{Row: r.name, Work: r.about, Error: err.Error()})
	}
	return lines
}
