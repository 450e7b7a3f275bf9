// Command broker measures hapax serve beside Apache Kafka, with one client in
// one run, and prints one table. Client and brokers share the machine.
//
//	go run ./broker -quick                 a minute or two: does it work?
//	go run ./broker                        the whole table
//	go run ./broker -rows 'single|latency' some rows
//
// Apache Kafka runs twice: as it comes, when it does not wait for the disk
// before it acknowledges, and with log.flush.interval.messages=1, when it does,
// as hapax always does. It needs Java 17 and Maven, which fetches Kafka's jars;
// without them hapax is measured alone.
//
// Rows named window-… are of topics that keep each message once, beside topics
// that do not, and beside NATS JetStream, which the go command builds.
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

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "broker:", err)
		os.Exit(1)
	}
}

// bench is a run: its settings, and the brokers.
type bench struct {
	ctx    context.Context
	quick  bool
	rounds int
	dir    string // for files
	nodes  []*node
	lines  []report.Line
}

// row is one piece of work.
type row struct {
	name    string
	about   string
	measure func(*bench) error
	alone   bool // it starts its own brokers, and all others are ended first
}

// rows are all of them. Those that start their own brokers come last.
func rows() []row {
	return []row{
		{"rest", "memory at rest", (*bench).rest, false},
		{"through", "produce and consume at full speed", (*bench).through, false},
		{"single", "produce one record at a time", (*bench).single, false},
		{"transactions", "transactions back to back", (*bench).transactions, false},
		{"latency", "from send to poll", (*bench).latency, false},
		{"partitions", "200 partitions, small batches", (*bench).partitions, false},
		{"cold", "consume what only the disk has", (*bench).cold, false},
		{"after", "memory after all this", (*bench).after, false},
		{"start", "from start to the first acknowledged record", (*bench).start, true},
		{"window-through", "produce to a topic with a window", (*bench).windowThrough, true},
		{"window-codecs", "the same, compressed", (*bench).windowCodecs, true},
		{"window-single", "produce one record at a time to a topic with a window", (*bench).windowSingle, true},
		{"window-memory", "memory a live id", (*bench).windowMemory, true},
		{"window-start", "from start to the first acknowledged record, behind live ids", (*bench).windowStart, true},
		{"window-nats", "windows of an hour beside NATS JetStream", (*bench).windowNATS, true},
		{"window-cold", "a window much larger than memory", (*bench).windowCold, true},
	}
}

func run(args []string, out io.Writer) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{ctx: ctx}
	flags := flag.NewFlagSet("broker", flag.ContinueOnError)
	flags.BoolVar(&b.quick, "quick", false, "a fiftieth of the sizes: to see that everything works")
	flags.IntVar(&b.rounds, "rounds", 5, "interleaved rounds; figures are medians")
	flags.StringVar(&b.dir, "dir", os.TempDir(), "folder for files, removed at the end; up to 20 GB")
	hapax := flags.String("hapax", "", "hapax binary to measure (default: build it)")
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
	if err := b.open(*hapax); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	for _, r := range rows() {
		if !selected.MatchString(r.name) {
			continue
		}
		ready := b.startAll
		if r.alone {
			ready = b.close
		}
		if err := ready(); err != nil {
			return err
		}
		began := time.Now()
		fmt.Fprintf(os.Stderr, "%s …", r.name)
		if err := r.measure(b); err != nil {
			b.add(report.Line{Row: r.name, Work: r.about, Error: err.Error()})
		}
		fmt.Fprintf(os.Stderr, " %v\n", time.Since(began).Round(time.Second))
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped: %w", err)
		}
	}
	result := &report.Report{Machine: report.Machine(ctx, b.dir, b.peers()), Lines: b.lines}
	if *asJSON {
		return result.JSON(out)
	}
	return result.Markdown(out)
}

func (b *bench) peers() report.Peers {
	peers := report.Peers{
		Libraries: map[string]string{
			"github.com/twmb/franz-go":                    "client: franz-go",
			"github.com/nats-io/nats.go":                  "client of NATS: nats.go",
			"github.com/synadia-io/orbit.go/jetstreamext": "its fast publisher: jetstreamext",
		},
		Programs: []report.Program{{Name: "Java", Command: []string{"java", "-version"}}},
		Others:   []report.Fact{{Name: "Apache Kafka", Value: kafkaVersion + ", 1 GiB heap"}},
	}
	if _, err := os.Stat(b.natsServer()); err == nil { // it was built
		peers.Programs = append(peers.Programs, report.Program{Name: "NATS", Command: []string{b.natsServer(), "--version"}})
	}
	return peers
}

func (b *bench) add(l report.Line) { b.lines = append(b.lines, l) }

// size is a number of records or bytes, less of them with -quick.
func (b *bench) size(full int) int {
	if b.quick {
		return full / 50
	}
	return full
}

// span is how long a pass takes that is measured by time.
func (b *bench) span() time.Duration {
	if b.quick {
		return 200 * time.Millisecond
	}
	return 4 * time.Second
}

// each gives every node a turn a round, after one that does not count: Java is
// slow at first. It returns the figures by node and round.
func (b *bench) each(turn func(*node) (float64, error)) ([][]float64, error) {
	passes := make([]measure.Pass, len(b.nodes))
	for i, n := range b.nodes {
		passes[i] = func(int) (float64, error) {
			figure, err := turn(n)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", n.name, err)
			}
			return figure, nil
		}
		if _, err := passes[i](0); err != nil {
			return nil, err
		}
	}
	return measure.Rounds(b.rounds, passes)
}

// compare adds a line beside each of the first peers: as many as there are bounds,
// which are nil where there is none.
func (b *bench) compare(work, unit string, figures [][]float64, bounds ...*report.Bound) {
	ours := report.Line{Work: work, Ours: report.Of(measure.Median(figures[0]), unit)}
	if len(b.nodes) == 1 {
		b.add(ours)
		return
	}
	for i, bound := range bounds {
		l := ours
		l.Peer, l.Their = b.nodes[i+1].name, report.Of(measure.Median(figures[i+1]), unit)
		l.Ratio, l.Bound = measure.Ratio(figures[0], figures[i+1]), bound
		b.add(l)
	}
}
