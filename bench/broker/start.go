package main

import (
	"context"
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
		used, err := measure.MemoryOf(n.process.Process.Pid)
		if err != nil {
			return err
		}
		figures[i] = []float64{float64(used) / (1 << 20)}
	}
	b.compare(work, "MiB", figures, report.AtMost(1/parts, "×"))
	return nil
}

// start measures from the start of our process to the first record that it
// acknowledges: on no directory, and with 1 GB, left cleanly and killed.
func (b *bench) start() error {
	binary := b.nodes[0].command().Path
	first := func(data string, end syscall.Signal) (float64, error) {
		n, err := b.hapax(binary, data)
		if err != nil {
			return 0, err
		}
		began := time.Now()
		if err := n.start(b.ctx); err != nil {
			return 0, err
		}
		err = n.firstRecord(b.ctx)
		took := time.Since(began)
		if ended := n.end(end); err == nil {
			err = ended
		}
		return took.Seconds(), err
	}
	full := filepath.Join(b.dir, "full")
	if err := b.fill(binary, full); err != nil {
		return err
	}
	for _, c := range []struct {
		work  string
		data  string
		end   syscall.Signal
		bound float64
	}{
		{"on an empty directory", filepath.Join(b.dir, "empty"), syscall.SIGKILL, 0.2},
		{"with 1 GB, after a clean stop", full, syscall.SIGTERM, 0.3},
		{"with 1 GB, after kill -9", full, syscall.SIGKILL, 1},
	} {
		turn := func(int) (float64, error) {
			if c.data != full {
				if err := os.RemoveAll(c.data); err != nil {
					return 0, err
				}
			}
			return first(c.data, c.end)
		}
		if _, err := turn(0); err != nil { // what the next one finds was left as it should be
			return err
		}
		figures, err := measure.Rounds(b.rounds, []measure.Pass{turn})
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

// fill makes a directory with 1 GB of records.
func (b *bench) fill(binary, data string) error {
	n, err := b.hapax(binary, data)
	if err != nil {
		return err
	}
	if err := n.start(b.ctx); err != nil {
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
	if _, _, err := n.produce(b.ctx, "full", b.size(1_000_000), 1000, time.Hour); err != nil {
		return err
	}
	return n.end(syscall.SIGTERM)
}

// firstRecord produces one record to a topic that it makes if there is none.
func (n *node) firstRecord(ctx context.Context) error {
	c, err := n.client(kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("first"), kgo.MetadataMinAge(10*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 5 * time.Millisecond }))
	if err != nil {
		return err
	}
	defer c.Close()
	return c.ProduceSync(ctx, kgo.StringRecord("first")).FirstErr()
}
