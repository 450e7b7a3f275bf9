package main

import (
	"errors"
	"fmt"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/peer"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/stream"
)

// scale compares how much slower a key gets from 1 M to 100 M live ids with how
// much slower it gets for the bare table, whose cache misses are the machine's.
func scale(b *bench) error {
	return measure.OneCore(func() error {
		return errors.Join(
			scaleBy(b, "one by one", func(e *engine) take { return e.take }, func(t *peer.Bare) take { return t.Take }),
			scaleBy(b, "batches of 256", func(e *engine) take { return e.batches(peer.BareBatch) }, func(t *peer.Bare) take { return t.TakeBatches }))
	})
}

func scaleBy(b *bench, how string, ours func(*engine) take, theirs func(*peer.Bare) take) (err error) {
	defer measure.FreeMemory()
	s := stream.Tenth()
	sizes := [2]int64{b.size(1_000_000), b.size(100_000_000)}
	n := step(sizes[0])
	var passes []measure.Pass
	var pairs []*pair
	defer func() {
		for _, p := range pairs {
			err = errors.Join(err, p.close())
		}
	}()
	for _, live := range sizes {
		p, openErr := openPair(room(s, live, n, b.Rounds), room(s, live, n, b.Rounds))
		if openErr != nil {
			return openErr
		}
		pairs = append(pairs, p)
		hapax := &contestant{name: "hapax", take: p.engine.batches(peer.BareBatch)}
		table := &contestant{name: "bare table", take: p.bare.TakeBatches}
		if err := errors.Join(hapax.fill(s, live), table.fill(s, live)); err != nil {
			return err
		}
		hapax.take, table.take = ours(p.engine), theirs(p.bare)
		passes = append(passes, warmed(s, hapax, sizes[0], n), warmed(s, table, sizes[0], n))
	}
	figures, err := measure.Rounds(b.Rounds, passes)
	if err != nil {
		return err
	}
	slower := func(small, large []float64) []float64 {
		ratios := make([]float64, len(small))
		for i := range small {
			ratios[i] = large[i] / small[i]
		}
		return ratios
	}
	line := compare("ns a key, "+millions(sizes[1])+" against "+millions(sizes[0])+", "+how,
		slower(figures[0], figures[2]), "bare table", slower(figures[1], figures[3]), "× slower", report.AtMost(1.2, "×"))
	return b.add(line)
}

// warmed returns the ns a message of c's next n messages, after it saw the last
// ones once more: what fits a cache is in it, as it is when nobody else runs.
func warmed(s stream.Stream, c *contestant, last, n int64) measure.Pass {
	return func(int) (float64, error) {
		ids := make([]stream.ID, portion)
		for at := max(0, c.at-last); at < c.at; at += int64(len(ids)) {
			ids = ids[:min(int64(len(ids)), c.at-at)]
			s.Fill(ids, at)
			fresh, err := c.take(ids)
			if err == nil && fresh != 0 {
				err = fmt.Errorf("%s: %d ids seen before were new", c.name, fresh)
			}
			if err != nil {
				return 0, err
			}
		}
		spent, err := c.pass(s, n)
		return float64(spent) / float64(n), err
	}
}
