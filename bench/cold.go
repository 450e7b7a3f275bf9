package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/stream"
)

// cold takes 200 M new ids in, and one in a hundred again whose id is long on
// disk, within 1 GiB for everything, and checks every single answer.
func cold(b *bench) error {
	limit := max(b.size(1<<30), 64<<20) // a Go program needs some itself
	bound := report.AtLeast(0.5, "M/s")
	group, err := measure.NewCgroup(fmt.Sprintf("hapax-bench-%d", os.Getpid()), limit)
	if err != nil {
		return b.add(report.Line{Work: "cold", Bound: bound, Error: err.Error()})
	}
	args := coldArgs{
		Cgroup:   group.Dir,
		IDs:      b.size(200_000_000),
		Settings: settings{Dir: b.path("cold"), Synced: true, MaxMemory: max(b.size(704<<20), 9<<20)},
	}
	r, err := measure.Child[coldResult](b.ctx, "cold", args)
	peak, peakErr := group.Peak()
	if err := errors.Join(err, peakErr, group.Close()); err != nil {
		return b.add(report.Line{Work: "cold", Bound: bound, Error: err.Error()})
	}
	line := report.Line{
		Work:  fmt.Sprintf("cold: %s ids in %d MiB, page cache included", millions(args.IDs), limit>>20),
		Ours:  report.Of(float64(r.Messages)/1e6/r.Spent.Seconds(), "M/s"),
		Bound: bound,
		Note: fmt.Sprintf("All new but 1 %% copies of the oldest half, synced batches of 1,000; %d of %d answers were wrong. "+
			"Ids on disk at the end: %d; %d MiB of files; the group's peak: %d MiB.",
			r.Wrong, r.Messages, r.Gauges.Cold, r.Disk>>20, peak>>20),
	}
	if r.Wrong > 0 {
		line.Ours, line.Error = nil, fmt.Sprintf("%d wrong answers", r.Wrong)
	}
	return b.add(line)
}

type coldArgs struct {
	Cgroup   string
	IDs      int64
	Settings settings
}

type coldResult struct {
	Messages, Wrong int64
	Spent           time.Duration
	Gauges          gauges
	Disk            int64
}

func coldTask(args coldArgs) (r coldResult, err error) {
	if err := measure.Enter(args.Cgroup); err != nil {
		return r, err
	}
	e, err := openEngine(args.Settings)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	s := stream.Stream{Seed: 1, Every: 100, Among: 2}
	ids := make([]stream.ID, 1000)
	r.Messages = s.Messages(args.IDs) / int64(len(ids)) * int64(len(ids))
	for at := int64(0); at < r.Messages; at += int64(len(ids)) {
		s.Fill(ids, at)
		start := time.Now()
		if _, err := e.takeBatch(ids); err != nil {
			return r, err
		}
		r.Spent += time.Since(start)
		for i := range ids {
			if _, duplicate := s.Number(at + int64(i)); e.fresh(i) == duplicate {
				r.Wrong++
			}
		}
	}
	r.Gauges = e.gauges()
	r.Disk, err = measure.Disk(args.Settings.Dir)
	return r, err
}
