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
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/server"
)

func main() { suite().Main() }

// bench is a run: its settings, the brokers, and what the row has measured.
type bench struct {
	ctx    context.Context
	quick  bool
	rounds int
	dir    string // for files
	binary string // that is measured; empty: it is built
	nodes  []*node
	lines  []report.Line
}

func suite() *report.Suite {
	b := &bench{}
	return &report.Suite{
		Name: "broker", Quick: "a fiftieth of the sizes", Files: "; up to 20 GB", Rows: b.rows(), Peers: b.peers,
		Flags: func(f *flag.FlagSet) {
			f.StringVar(&b.binary, "hapax", "", "hapax binary to measure (default: build it)")
		},
		Open: func(ctx context.Context, c report.Config) error {
			b.ctx, b.quick, b.rounds, b.dir = ctx, c.Quick, c.Rounds, c.Dir
			return b.open()
		},
		Close: b.close,
	}
}

// rows are all of them. Those that start their own brokers come last.
func (b *bench) rows() []report.Row {
	row := func(ready func() error) func(name, about string, measure func(*bench) error) report.Row {
		return func(name, about string, measure func(*bench) error) report.Row {
			return report.Row{Name: name, About: about, Measure: func(context.Context) ([]report.Line, error) {
				if err := ready(); err != nil {
					return nil, err
				}
				b.lines = nil
				err := measure(b)
				return b.lines, err
			}}
		}
	}
	beside, alone := row(b.startAll), row(b.close)
	return []report.Row{
		beside("rest", "memory at rest", (*bench).rest),
		beside("through", "produce and consume at full speed", (*bench).through),
		beside("single", "produce one record at a time", (*bench).single),
		beside("transactions", "transactions back to back", (*bench).transactions),
		beside("latency", "from send to poll", (*bench).latency),
		beside("partitions", "200 partitions, small batches", (*bench).partitions),
		beside("cold", "consume what only the disk has", (*bench).cold),
		beside("after", "memory after all this", (*bench).after),
		alone("start", "from start to the first acknowledged record", (*bench).start),
		alone("window-through", "produce to a topic with a window", (*bench).windowThrough),
		alone("window-codecs", "the same, compressed", (*bench).windowCodecs),
		alone("window-single", "produce one record at a time to a topic with a window", (*bench).windowSingle),
		alone("window-memory", "memory a live id", (*bench).windowMemory),
		alone("window-start", "from start to the first acknowledged record, behind live ids", (*bench).windowStart),
		alone("window-nats", "windows of an hour beside NATS JetStream", (*bench).windowNATS),
		alone("window-cold", "a window much larger than memory", (*bench).windowCold),
	}
}

func (b *bench) peers() report.Peers {
	peers := report.Peers{
		Libraries: map[string]string{
			"github.com/twmb/franz-go":                    "client: franz-go",
			"github.com/nats-io/nats.go":                  "client of NATS: nats.go",
			"github.com/synadia-io/orbit.go/jetstreamext": "its fast publisher: jetstreamext",
		},
		Programs: []report.Program{{Name: "Java", Command: []string{"java", "-version"}}},
		Others:   []report.Fact{{Name: "Apache Kafka", Value: server.KafkaVersion + ", 1 GiB heap"}},
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
				return 0, fmt.Errorf("%s: %w", n.Name, err)
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
		l.Peer, l.Their = b.nodes[i+1].Name, report.Of(measure.Median(figures[i+1]), unit)
		l.Ratio, l.Bound = measure.Ratio(figures[0], figures[i+1]), bound
		b.add(l)
	}
}
