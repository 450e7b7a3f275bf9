package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/peer"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/stream"
)

// memory finds the most RAM a live id takes while a ledger grows from 1 M to
// 100 M of them, as the system counts it, and then what an id on disk takes.
func memory(b *bench) error {
	return errors.Join(
		memoryHot(b, "RAM a live key, hot", false, 20),
		memoryHot(b, "RAM a live key, hot, with digests", true, 30),
		memoryCold(b))
}

func memoryHot(b *bench, work string, digests bool, bound float64) error {
	args := growArgs{From: b.size(1_000_000), To: b.size(100_000_000), Settings: settings{Digests: digests}}
	g, err := measure.Child[growth](b.ctx, "grow", args)
	if err != nil {
		return b.add(report.Line{Work: work, Bound: report.AtMost(bound, "B/key"), Error: err.Error()})
	}
	return b.add(report.Line{
		Work:  fmt.Sprintf("%s, worst of %s to %s", work, millions(args.From), millions(args.To)),
		Ours:  report.Of(g.Worst, "B/key"),
		Bound: report.AtMost(bound, "B/key"),
		Note: fmt.Sprintf("Peak resident memory above that before opening, over ids so far, at every percent more ids. "+
			"The worst is at %d ids; %.1f B/key at the end. The ledger itself says %.1f and %.1f.",
			g.WorstAt, g.Last, g.SaidWorst, g.SaidLast),
	})
}

// memoryCold gives a ledger a budget that most ids do not fit in, and takes the
// difference between many ids and fewer: its table, merges under way and all else
// that does not grow with what is on disk are the same in both.
func memoryCold(b *bench) error {
	bound := report.AtMost(2.5, "B/key")
	var g [2]growth
	var err error
	args := growArgs{Settings: settings{MaxMemory: b.size(512 << 20)}}
	for i, ids := range []int64{b.size(60_000_000), b.size(100_000_000)} {
		args.From, args.To = ids, ids
		args.Settings.Dir = b.path(fmt.Sprintf("cold-%d", i))
		if g[i], err = measure.Child[growth](b.ctx, "grow", args); err != nil {
			return b.add(report.Line{Work: "RAM a live key, cold", Bound: bound, Error: err.Error()})
		}
		if err := os.RemoveAll(args.Settings.Dir); err != nil {
			return err
		}
	}
	fewer, more := g[0].Gauges, g[1].Gauges
	if fewer.Cold == 0 || more.Cold == fewer.Cold {
		return b.add(report.Line{Work: "RAM a live key, cold", Bound: bound, Error: "no id went to disk"})
	}
	return b.add(report.Line{
		Work:  fmt.Sprintf("RAM a live key, cold, %s in %d MiB", millions(args.To), args.Settings.MaxMemory>>20),
		Ours:  report.Of(float64(g[1].Peak-g[0].Peak)/float64(more.Cold-fewer.Cold), "B/key"),
		Bound: bound,
		Note: fmt.Sprintf("Peak resident memory with %s ids on disk, %.0f MiB, less that with %s, %.0f MiB, over the ids between. "+
			"The ledger itself says %.0f and %.0f MiB.", millions(more.Cold), mebibytes(g[1].Peak), millions(fewer.Cold), mebibytes(g[0].Peak),
			mebibytes(more.Memory), mebibytes(fewer.Memory)),
	})
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

type growArgs struct {
	From, To int64 // ids at which to look first and last
	Settings settings
}

type growth struct {
	Worst, Last         float64 // bytes an id, peak so far
	SaidWorst, SaidLast float64 // the same by the ledger's own word
	WorstAt             int64   // ids
	Peak                int64   // bytes above those before opening
	Gauges              gauges  // at the end
}

// growTask fills an empty ledger with new ids and watches its memory.
func growTask(args growArgs) (g growth, err error) {
	s := stream.Stream{Seed: 1}
	c := &contestant{name: "hapax", ids: make([]stream.ID, peer.BareBatch)}
	s.Fill(c.ids, 0) // so that the ids' own memory is there before we look
	if err := measure.ResetPeak(); err != nil {
		return g, err
	}
	before, err := measure.PeakMemory()
	if err != nil {
		return g, err
	}
	e, err := openEngine(args.Settings)
	if err != nil {
		return g, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	c.take = e.takeBatch
	for next := args.From; ; next = min(args.To, next+max(next/100, 1)) {
		if err := c.fill(s, next); err != nil {
			return g, err
		}
		peak, err := measure.PeakMemory()
		if err != nil {
			return g, err
		}
		g.Peak, g.Gauges = peak-before, e.gauges()
		g.Last, g.SaidLast = float64(g.Peak)/float64(next), float64(g.Gauges.Memory)/float64(next)
		g.SaidWorst = max(g.SaidWorst, g.SaidLast)
		if g.Last > g.Worst {
			g.Worst, g.WorstAt = g.Last, next
		}
		if next == args.To {
			return g, nil
		}
	}
}

// disk measures the files of a ledger that took in batches of 1,000.
func disk(b *bench) error {
	return errors.Join(
		diskFiles(b, "disk a live key, batches of 1,000", false, 16.5),
		diskFiles(b, "disk a live key, batches of 1,000, with digests", true, 25))
}

func diskFiles(b *bench, work string, digests bool, bound float64) error {
	dir := b.path(fmt.Sprintf("disk-%v", digests))
	n := b.size(10_000_000)
	e, err := openEngine(settings{Dir: dir, Digests: digests})
	if err != nil {
		return err
	}
	c := &contestant{name: "hapax", take: e.batches(1000), ids: make([]stream.ID, 1000)}
	if err := errors.Join(c.fill(stream.Stream{Seed: 1}, n), e.sync()); err != nil {
		return errors.Join(err, e.close())
	}
	used, err := measure.Disk(dir)
	if err := errors.Join(err, e.close()); err != nil {
		return err
	}
	closed, err := measure.Disk(dir)
	if err != nil {
		return err
	}
	return b.add(report.Line{
		Work:  work + ", " + millions(n) + " live",
		Ours:  report.Of(float64(used)/float64(n), "B/key"),
		Bound: report.AtMost(bound, "B/key"),
		Note: fmt.Sprintf("Blocks of all files while open; %.1f B/key after a clean close, with what is kept for a quick start.",
			float64(closed)/float64(n)),
	})
}
