package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
)

// rest is the memory of brokers that nobody has asked anything of yet.
func (b *bench) rest() error { return b.memory("memory at rest", 15) }

// after is their memory after the other rows.
func (b *bench) after() error { return b.memory("memory after all this", 6) }

func (b *bench) memory(work string, parts float64) error {
	figures := make([][]float64, len(b.nodes))
	for i, n := range b.nodes {
		used, err := measure.MemoryOf(n.Process.Process.Pid)
		if err != nil {
			return err
		}
		figures[i] = []float64{float64(used) / (1 << 20)}
	}
	b.compare(work, "MiB", figures, report.AtMost(1/parts, "×"))
	return nil
}

// start measures from the start of our process to the first record that it
// acknowledges: on no directory, and behind 1 GB, left cleanly and killed.
func (b *bench) start() error {
	binary, data := b.nodes[0].Command().Path, filepath.Join(b.dir, "started")
	for _, c := range []struct {
		work  string
		bytes int
		end   syscall.Signal
		bound float64
	}{
		{"on an empty directory", 0, syscall.SIGKILL, 0.2},
		{"with 1 GB, after a clean stop", 1_000_000_000, syscall.SIGTERM, 0.3},
		{"with 1 GB, after kill -9", 1_000_000_000, syscall.SIGKILL, 1},
	} {
		figures, err := measure.Rounds(b.rounds, []measure.Pass{func(int) (float64, error) {
			if err := os.RemoveAll(data); err != nil {
				return 0, err
			}
			if c.bytes > 0 {
				if err := b.fill(binary, data, b.size(c.bytes), c.end); err != nil {
					return 0, err
				}
			}
			return b.startOnce(binary, data)
		}})
		if err != nil {
			return err
		}
		b.add(report.Line{
			Work: "start to the first acknowledged record, " + c.work, Ours: report.Of(measure.Median(figures[0]), "s"),
			Bound: report.AtMost(c.bound, "s"),
		})
	}
	return nil
}

func (b *bench) startOnce(binary, data string) (seconds float64, err error) {
	n, err := hapax(binary, data)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := n.Start(b.ctx); err != nil {
		return 0, err
	}
	err = n.firstRecord(b.ctx, "first", kgo.StringRecord("first"))
	took := time.Since(began)
	return took.Seconds(), errors.Join(err, n.End(syscall.SIGKILL))
}

// fill makes a directory with so many bytes of records, which a node leaves by a
// signal.
func (b *bench) fill(binary, data string, bytes int, end syscall.Signal) error {
	n, err := hapax(binary, data)
	if err != nil {
		return err
	}
	if err := n.Start(b.ctx); err != nil {
		return err
	}
	c, err := n.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := kadm.NewClient(c).CreateTopic(b.ctx, 6, 1, nil, "full"); err != nil {
		return fmt.Errorf("make topic: %w", err)
	}
	if _, _, err := n.produce(b.ctx, "full", bytes/1000, 1000, time.Hour); err != nil {
		return err
	}
	return n.End(end)
}

// firstRecord produces a record to a topic that it makes if there is none.
func (n *node) firstRecord(ctx context.Context, topic string, record *kgo.Record) error {
	c, err := n.client(kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic(topic), kgo.MetadataMinAge(10*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 5 * time.Millisecond }))
	if err != nil {
		return err
	}
	defer c.Close()
	return c.ProduceSync(ctx, record).FirstErr()
}
