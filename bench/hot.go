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

func hotSingle(b *bench, live int64) (err error) {
	s := stream.Tenth()
	e, err := openEngine(settings{Expect: room(s, live, step(live), b.Rounds)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	bare, err := peer.NewBare(room(s, live, step(live), b.Rounds))
	if err != nil {
		return err
	}
	defer bare.Close()
	gomap := peer.NewMap(room(s, live, step(live), b.Rounds))
	contestants := []*contestant{
		{name: "hapax", take: e.take},
		{name: "bare table", take: bare.Take},
		{name: "map[[16]byte]int64", take: gomap.Take},
	}
	figures, err := hotRates(b, s, live, contestants)
	if err != nil {
		return err
	}
	work := fmt.Sprintf("one by one, %s live", millions(live))
	return errors.Join(
		b.add(compare(work, figures[0], contestants[1].name, figures[1], "M/s", report.AtLeast(0.7, "×"))),
		b.add(compare(work, figures[0], contestants[2].name, figures[2], "M/s", report.AtLeast(2.5, "×"))))
}

func hotBatches(b *bench, live int64) (err error) {
	s := stream.Tenth()
	e, err := openEngine(settings{Expect: room(s, live, step(live), b.Rounds)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	bare, err := peer.NewBare(room(s, live, step(live), b.Rounds))
	if err != nil {
		return err
	}
	defer bare.Close()
	gomap := peer.NewMap(room(s, live, step(live), b.Rounds))
	contestants := []*contestant{
		{name: "hapax", take: e.batches(peer.BareBatch)},
		{name: "bare table", take: bare.TakeBatches},
		{name: "map[[16]byte]int64", take: gomap.Take},
	}
	work := fmt.Sprintf("batches of %d, %s live", peer.BareBatch, millions(live))
	redis, err := peer.OpenRedis(b.ctx, b.Dir)
	if err == nil {
		defer redis.Close()
		contestants = append(contestants, &contestant{name: "Redis SET NX, pipelined by 100", take: redis.Take})
	} else if err := b.add(report.Line{Work: work, Peer: "Redis", Error: err.Error()}); err != nil {
		return err
	}
	figures, err := hotRates(b, s, live, contestants)
	if err != nil {
		return err
	}
	bounds := []float64{0, 0.8, 5, 40}
	for i, c := range contestants[1:] {
		line := compare(work, figures[0], c.name, figures[i+1], "M/s", report.AtLeast(bounds[i+1], "×"))
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
