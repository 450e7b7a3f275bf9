package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/stream"
)

// pause is how much longer than an idle loop's the longest answer may be.
const pause = time.Millisecond

// latency compares the distribution of single answers with the bare table's,
// and the longest of them with that of a loop that does nothing: growing from
// empty, and then with all ids live.
func latency(b *bench) error {
	for _, live := range []int64{b.size(10_000_000), b.size(50_000_000)} {
		for _, cores := range []int{1, 2} {
			if err := measure.Cores(cores, func() error { return growing(b, live, cores) }); err != nil {
				return err
			}
		}
		if err := measure.OneCore(func() error { return latencyAt(b, live) }); err != nil {
			return err
		}
		measure.FreeMemory()
	}
	return nil
}

func latencyAt(b *bench, live int64) (err error) {
	s := stream.Tenth()
	p, err := openPair(room(s, live, 2*step(live), b.Rounds), room(s, live, step(live), b.Rounds))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	ours, theirs := &clocked{take: p.engine.take}, &clocked{take: p.bare.Take}
	hapax := &contestant{name: "hapax", take: ours.each}
	table := &contestant{name: "bare table", take: theirs.each}

	if err := errors.Join(hapax.fill(s, live), table.fill(s, live)); err != nil {
		return err
	}
	var tails [2][3][]float64 // ours and theirs; p50, p99, p99.9; by round
	quantiles := [3]float64{0.5, 0.99, 0.999}
	tail := func(i int, c *contestant, counted *clocked) measure.Pass {
		return func(int) (float64, error) {
			counted.h = measure.Histogram{}
			_, err := c.pass(s, step(live))
			for k, q := range quantiles {
				tails[i][k] = append(tails[i][k], float64(counted.h.Quantile(q)))
			}
			return 0, err
		}
	}
	if _, err := measure.Rounds(b.Rounds, []measure.Pass{tail(0, hapax, ours), tail(1, table, theirs)}); err != nil {
		return err
	}
	for k, name := range []string{"p50", "p99", "p99.9"} {
		var bound *report.Bound
		if name == "p99.9" {
			bound = report.AtMost(1.5, "×")
		}
		work := fmt.Sprintf("one by one, %s live, %s", millions(live), name)
		if err := b.add(compare(work, tails[0][k], table.name, tails[1][k], "ns", bound)); err != nil {
			return err
		}
	}
	return besideIdle(b, b.Rounds, "longest answer with "+millions(live)+" live", ours, func() (time.Duration, error) {
		return hapax.pass(s, step(live))
	})
}

// growing takes in ids from none to live, in a ledger that was not told how many
// would come. What it will take was used just before every turn: the host of a
// virtual machine takes back what is free, and backs a page anew with its first
// touch, which says nothing of the ledger.
func growing(b *bench, live int64, cores int) (err error) {
	defer measure.FreeMemory()
	s := stream.Tenth()
	if err := measure.Warm(64 * live); err != nil {
		return err
	}
	e, err := openEngine(settings{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	ours := &clocked{take: e.take}
	hapax := &contestant{name: "hapax", take: ours.each}
	turns := b.Rounds * max(int(live/10_000_000), 1)
	work := fmt.Sprintf("longest answer while growing to %s, cores: %d", millions(live), cores)
	return besideIdle(b, turns, work, ours, func() (time.Duration, error) {
		if err := measure.Warm(4 * live); err != nil {
			return 0, err
		}
		return hapax.pass(s, s.Messages(live)/int64(turns))
	})
}

// besideIdle alternates turns of work with idle turns of the same length and
// compares the longest answer of all turns with the longest gap of all idle
// ones: both had the same chance to be disturbed by the machine.
func besideIdle(b *bench, turns int, work string, counted *clocked, turn func() (time.Duration, error)) error {
	counted.h = measure.Histogram{}
	var idle measure.Histogram
	spent := 100 * time.Millisecond
	_, err := measure.Rounds(turns, []measure.Pass{
		func(int) (_ float64, err error) {
			spent, err = turn()
			return 0, err
		},
		func(int) (float64, error) {
			h, _ := measure.Idle(spent)
			idle.Merge(&h)
			return 0, nil
		},
	})
	if err != nil {
		return err
	}
	return b.add(longest(work, counted.h.Longest(), idle.Longest()))
}

// longest is the line of a longest answer beside an idle loop's.
func longest(work string, ours, idle time.Duration) report.Line {
	return report.Line{
		Work: work, Ours: report.Of(float64(ours)/1e6, "ms"),
		Peer: "idle loop", Their: report.Of(float64(idle)/1e6, "ms"),
		Bound: report.AtMost(float64(idle+pause)/1e6, "ms"),
	}
}

// clocked looks at the clock around every single answer.
type clocked struct {
	take take
	h    measure.Histogram
}

func (c *clocked) each(ids []stream.ID) (fresh int, err error) {
	start := time.Now()
	last := time.Duration(0)
	for i := range ids {
		k, err := c.take(ids[i : i+1])
		if err != nil {
			return fresh, err
		}
		fresh += k
		now := time.Since(start)
		c.h.Add(now - last)
		last = now
	}
	return fresh, nil
}
