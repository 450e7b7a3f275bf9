package main

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/stream"
)

// leaving lets half of 20 M ids leave their window at one moment, while
// messages go on coming one by one, and looks for a pause and for a dip.
func leaving(b *bench) error {
	var m moments
	var dips, usual, idle []float64
	for range b.Rounds {
		if err := m.round(b); err != nil {
			return err
		}
		dips = append(dips, dip(m.before, m.after))
		usual = append(usual, dip(m.earlier, m.before))
		idle = append(idle, dip(m.idleBefore, m.idleAfter))
		measure.FreeMemory()
	}
	work := fmt.Sprintf("half of %s leave the window", millions(b.size(20_000_000)))
	return errors.Join(
		b.add(longest(work+", longest answer", m.answers.Longest(), m.gaps.Longest())),
		b.add(report.Line{
			Work:  work + ", dip",
			Ours:  report.Of(100*measure.Median(dips), "%"),
			Peer:  "idle loop",
			Their: report.Of(100*measure.Median(idle), "%"),
			Bound: report.AtMost(5+100*measure.Median(idle), "%"),
			Note: fmt.Sprintf("By how much the slowest of %d slices after that moment is below the median slice before it. "+
				"The bound is 5 %% beyond the idle loop's own. The ledger's when nothing leaves: %.1f %%.",
				stretch, 100*measure.Median(usual)),
		}))
}

// stretch is how many slices of time are compared with as many others.
const stretch = 20

// moments is what is seen around the moment that ids leave: durations of
// slices, by work and then by an idle loop of the same length.
type moments struct {
	earlier, before, after []float64
	idleBefore, idleAfter  []float64
	answers, gaps          measure.Histogram // of all rounds, after the moment
}

func (m *moments) round(b *bench) (err error) {
	const window = time.Hour
	var now atomic.Int64
	now.Store(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	e, err := openEngine(settings{Window: window, Clock: func() time.Time { return time.Unix(0, now.Load()) }})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()

	s := stream.Stream{Seed: 1}
	half := b.size(10_000_000)
	c := &contestant{name: "hapax", take: e.batches(256)}
	if err := c.fill(s, half); err != nil {
		return err
	}
	now.Add(int64(window) * 3 / 4)
	if err := c.fill(s, 2*half); err != nil {
		return err
	}
	counted := &clocked{take: e.take}
	c.take = counted.each
	work := func() (time.Duration, error) { return c.pass(s, half/100) }
	if m.earlier, err = sliced(work); err != nil {
		return err
	}
	if m.before, err = sliced(work); err != nil {
		return err
	}
	counted.h = measure.Histogram{}
	now.Add(int64(window) / 2) // beyond the first half's window and what it may be remembered longer
	if m.after, err = sliced(work); err != nil {
		return err
	}
	m.answers.Merge(&counted.h)
	slice := time.Duration(measure.Median(m.before))
	idle := func() (time.Duration, error) {
		h, looks := measure.Idle(slice)
		m.gaps.Merge(&h)
		return slice / time.Duration(looks), nil
	}
	if m.idleBefore, err = sliced(idle); err != nil {
		return err
	}
	m.idleAfter, err = sliced(idle)
	return err
}

// sliced does a slice of work as often as there are slices in a stretch, and
// returns what each took.
func sliced(work func() (time.Duration, error)) ([]float64, error) {
	spent := make([]float64, stretch)
	for i := range spent {
		d, err := work()
		if err != nil {
			return nil, err
		}
		spent[i] = float64(d)
	}
	return spent, nil
}

// dip is by which share the rate of the slowest slice after is below the
// median rate before.
func dip(before, after []float64) float64 {
	return max(0, 1-measure.Median(before)/slices.Max(after))
}
