package main

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/bench/report"
)

// through produces records and consumes them again, as fast as one client can.
func (b *bench) through() error {
	for _, load := range []struct {
		size, partitions, records int
		produce                   []*report.Bound
	}{
		{100, 1, 4_000_000, []*report.Bound{report.AtLeast(1, "×"), nil}},
		{100, 6, 4_000_000, []*report.Bound{report.AtLeast(1, "×"), nil}},
		{1000, 1, 800_000, []*report.Bound{report.AtLeast(1.1, "×"), report.AtLeast(1.4, "×")}},
		{1000, 6, 800_000, []*report.Bound{report.AtLeast(1.1, "×"), report.AtLeast(1.4, "×")}},
	} {
		records := b.size(load.records)
		f, err := b.figures(4, func(n *node) ([]float64, error) { return b.throughOnce(n, load.partitions, records, load.size) })
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%d B, partitions: %d", load.size, load.partitions)
		b.compare("produce "+what, "M/s", f[0], load.produce...)
		b.compare("produce "+what+", the broker's CPU", "s/M", f[1], report.AtMost(1, "×"))
		b.compare("consume "+what, "M/s", f[2], report.AtLeast(1, "×"))
		b.compare("consume "+what+", the broker's CPU", "s/M", f[3], report.AtMost(1, "×"))
	}
	return nil
}

// figures is each for turns that have several figures. It returns them by figure,
// node and round.
func (b *bench) figures(count int, turn func(*node) ([]float64, error)) ([][][]float64, error) {
	byNode := make(map[*node][][]float64) // by round and figure
	if _, err := b.each(func(n *node) (float64, error) {
		figures, err := turn(n)
		byNode[n] = append(byNode[n], figures)
		return 0, err
	}); err != nil {
		return nil, err
	}
	out := make([][][]float64, count)
	for k := range out {
		for _, n := range b.nodes {
			var rounds []float64
			for _, figures := range byNode[n][1:] { // the first does not count
				rounds = append(rounds, figures[k])
			}
			out[k] = append(out[k], rounds)
		}
	}
	return out, nil
}

// throughOnce returns millions of records a second and the broker's seconds a
// million, for producing and for consuming.
func (b *bench) throughOnce(n *node, partitions, records, size int) (figures []float64, err error) {
	millions := float64(records) / 1e6
	err = n.topic(b.ctx, partitions, func(topic string) error {
		var d time.Duration
		in, err := n.Spent(func() (err error) {
			_, d, err = n.produce(b.ctx, topic, records, size, time.Hour)
			return err
		})
		if err != nil {
			return err
		}
		figures = append(figures, millions/d.Seconds(), in/millions)
		out, err := n.Spent(func() (err error) {
			d, err = n.consume(b.ctx, topic, records)
			return err
		})
		figures = append(figures, millions/d.Seconds(), out/millions)
		return err
	})
	return figures, err
}

// partitions spreads records so that batches are small.
func (b *bench) partitions() error {
	figures, err := b.each(func(n *node) (rate float64, err error) {
		err = n.topic(b.ctx, 200, func(topic string) error {
			sent, d, err := n.produce(b.ctx, topic, 1<<30, 100, b.span(), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
			rate = float64(sent) / 1e6 / d.Seconds()
			return err
		})
		return rate, err
	})
	if err != nil {
		return err
	}
	b.compare("produce 100 B to 200 partitions in turn", "M/s", figures, nil, report.AtLeast(2, "×"))
	return nil
}

// cold reads what the system has forgotten of the files.
func (b *bench) cold() error {
	records := b.size(1_000_000)
	figures, err := b.each(func(n *node) (rate float64, err error) {
		err = n.topic(b.ctx, 6, func(topic string) error {
			if _, _, err := n.produce(b.ctx, topic, records, 1000, time.Hour); err != nil {
				return err
			}
			syscall.Sync()
			if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
				return fmt.Errorf("drop the page cache: %w", err)
			}
			d, err := n.consume(b.ctx, topic, records)
			rate = float64(records) / 1e6 / d.Seconds()
			return err
		})
		return rate, err
	})
	if err != nil {
		return err
	}
	b.compare("consume 1000 B, partitions: 6, page cache dropped", "M/s", figures, report.AtLeast(0.9, "×"))
	return nil
}
