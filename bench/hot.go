package main

import (
	"errors"
	"fmt"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/peer"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/stream"
)

// redisLive is how many ids Redis holds at most: where others hold more, that
// is to its advantage, and saves minutes.
const redisLive = 10_000_000

// hot compares one by one and by batches, on one core, with 10 M and 50 M ids
// live and nothing written to disk.
func hot(b *bench) error {
	for _, live := range []int64{b.size(10_000_000), b.size(50_000_000)} {
		if err := measure.OneCore(func() error { return hotSingle(b, live) }); err != nil {
			return err
		}
		measure.FreeMemory()
		if err := measure.OneCore(func() error { return hotBatches(b, live) }); err != nil {
			return err
		}
		measure.FreeMemory()
	}
	return nil
}

// step is how many messages a round brings, so that few rounds change little.
func step(live int64) int64 { return min(live/20, 1_000_000) }

func hotSingle(b *bench, live int64) error {
	w := hotWork{
		name: fmt.Sprintf("one by one, %s live", millions(live)),
		ours: func(e *engine) take { return e.take }, bare: func(t *peer.Bare) take { return t.Take },
		bounds: []float64{0.7, 2.5},
	}
	return w.measure(b, live)
}

func hotBatches(b *bench, live int64) (err error) {
	w := hotWork{
		name: fmt.Sprintf("batches of %d, %s live", peer.BareBatch, millions(live)),
		ours: func(e *engine) take { return e.batches(peer.BareBatch) }, bare: func(t *peer.Bare) take { return t.TakeBatches },
		bounds: []float64{0.8, 5, 40},
	}
	redis, err := peer.OpenRedis(b.ctx, b.Dir)
	if err != nil {
		return errors.Join(b.add(report.Line{Work: w.name, Peer: "Redis", Error: err.Error()}), w.measure(b, live))
	}
	defer func() { err = errors.Join(err, redis.Close()) }()
	return w.measure(b, live, &contestant{name: "Redis SET NX, pipelined by 100", take: redis.Take})
}

// hotWork is one way to take ids in that the ledger and the tables in memory have.
type hotWork struct {
	name   string
	ours   func(*engine) take
	bare   func(*peer.Bare) take
	bounds []float64 // beside the bare table, the map, and the others
}

// measure adds a line beside each other contestant.
func (w hotWork) measure(b *bench, live int64, others ...*contestant) (err error) {
	s := stream.Tenth()
	n := room(s, live, step(live), b.Rounds)
	p, err := openPair(n, n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	contestants := append([]*contestant{
		{name: "hapax", take: w.ours(p.engine)},
		{name: "bare table", take: w.bare(p.bare)},
		{name: "map[[16]byte]int64", take: peer.NewMap(n).Take},
	}, others...)
	figures, err := hotRates(b, s, live, contestants)
	if err != nil {
		return err
	}
	for i, c := range contestants[1:] {
		line := compare(w.name, figures[0], c.name, figures[i+1], "M/s", report.AtLeast(w.bounds[i], "×"))
		if err := b.add(line); err != nil {
			return err
		}
	}
	return nil
}

// hotRates fills every contestant up to the live ids, then measures.
func hotRates(b *bench, s stream.Stream, live int64, contestants []*contestant) ([][]float64, error) {
	for i, c := range contestants {
		n := live
		if i == 3 {
			n = min(n, redisLive)
		}
		if err := c.fill(s, n); err != nil {
			return nil, err
		}
	}
	return rates(b.Rounds, s, step(live), contestants...)
}

// millions is a number of ids in words: "10 M", "100 k".
func millions(n int64) string {
	if n < 1_000_000 {
		return fmt.Sprintf("%d k", n/1000)
	}
	return fmt.Sprintf("%d M", n/1_000_000)
}
