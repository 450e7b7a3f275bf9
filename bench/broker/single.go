package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
)

// single has callers who each wait for their record's acknowledgement.
func (b *bench) single() error {
	for _, load := range []struct {
		callers int
		bounds  []*report.Bound
	}{
		{1, []*report.Bound{nil, report.AtLeast(2, "×")}},
		{16, []*report.Bound{report.AtLeast(0.75, "×"), report.AtLeast(4, "×")}},
		{64, []*report.Bound{report.AtLeast(0.75, "×"), report.AtLeast(3, "×")}},
	} {
		f, err := b.figures(3, func(n *node) ([]float64, error) { return b.singleOnce(n, load.callers) })
		if err != nil {
			return err
		}
		what := fmt.Sprintf("one by one, callers: %d", load.callers)
		b.compare(what, "k/s", f[0], load.bounds...)
		b.compare(what+", p50", "ms", f[1], nil, nil)
		b.compare(what+", p99", "ms", f[2], nil, nil)
		if load.callers == 1 {
			if err := b.tripAndSync(measure.Median(f[1][0])); err != nil {
				return err
			}
		}
	}
	return nil
}

// singleOnce returns thousands of records a second, and the milliseconds that half
// of them, and all but a hundredth, stayed below.
func (b *bench) singleOnce(n *node, callers int) (figures []float64, err error) {
	value := make([]byte, 100)
	err = n.topic(b.ctx, 1, func(topic string) error {
		figures, err = b.singleTo(n, topic, callers, func() *kgo.Record { return &kgo.Record{Value: value} })
		return err
	})
	return figures, err
}

// singleTo is singleOnce for records of a topic, which all callers ask for at once.
func (b *bench) singleTo(n *node, topic string, callers int, record func() *kgo.Record) ([]float64, error) {
	c, err := n.client(kgo.DefaultProduceTopic(topic))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.ProduceSync(b.ctx, record()).FirstErr(); err != nil {
		return nil, err
	}
	var (
		work   sync.WaitGroup
		failed firstError
		times  = make([]measure.Histogram, callers)
	)
	began := time.Now()
	for i := range times {
		work.Go(func() { failed.note(repeat(b.ctx, c, &times[i], began, b.span(), record)) })
	}
	work.Wait()
	d := time.Since(began)
	for i := range times[1:] {
		times[0].Merge(&times[i+1])
	}
	return []float64{float64(times[0].Count()) / 1e3 / d.Seconds(), ms(times[0].Quantile(0.5)), ms(times[0].Quantile(0.99))}, failed.err
}

func repeat(ctx context.Context, c *kgo.Client, times *measure.Histogram, began time.Time, span time.Duration, record func() *kgo.Record) error {
	for time.Since(began) < span {
		next := record()
		sent := time.Now()
		if err := c.ProduceSync(ctx, next).FirstErr(); err != nil {
			return err
		}
		times.Add(time.Since(sent))
	}
	return nil
}

func ms(d time.Duration) float64 { return d.Seconds() * 1e3 }

// tripAndSync compares our median with what it is made of: the same by a node whose
// directory is in memory, where a sync does nothing, and a write and fdatasync as
// large as a record's.
func (b *bench) tripAndSync(ours float64) error {
	dir, err := os.MkdirTemp("/dev/shm", "hapax-bench-")
	if err != nil {
		return fmt.Errorf("make a directory in memory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is gone with the machine at last
	n, err := hapax(b.nodes[0].Command().Path, filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	if err := n.Start(b.ctx); err != nil {
		return err
	}
	trips, err := b.singleOnce(n, 1)
	if err := errors.Join(err, n.End(syscall.SIGKILL)); err != nil {
		return err
	}
	sync, err := b.syncOnce()
	if err != nil {
		return err
	}
	trip := trips[1]
	sum := trip + 1.3*sync
	b.add(report.Line{
		Work: "one by one, callers: 1, p50", Ours: report.Of(ours, "ms"),
		Peer:  fmt.Sprintf("the same without syncs (%.3f ms) + 1.3 × fdatasync (%.3f ms)", trip, sync),
		Their: report.Of(sum, "ms"), Ratio: ours / sum, Bound: report.AtMost(1, "×"),
	})
	return nil
}

// syncOnce is the median of a write and fdatasync, in ms.
func (b *bench) syncOnce() (float64, error) {
	f, err := os.Create(filepath.Join(b.dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // it holds nothing
	if _, err := f.Write(make([]byte, 64<<20)); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	var syncs measure.Histogram
	record := make([]byte, 200)
	for at, began := int64(0), time.Now(); time.Since(began) < b.span(); at = (at + int64(len(record))) % (63 << 20) {
		start := time.Now()
		if _, err := f.WriteAt(record, at); err != nil {
			return 0, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		syncs.Add(time.Since(start))
	}
	return ms(syncs.Quantile(0.5)), nil
}
