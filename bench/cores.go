package main

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/peer"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/stream"
)

// cores compares two goroutines on two cores with one on one, on one ledger.
// Two bare tables, one for each core, show what the machine itself gives.
func cores(b *bench) error {
	live := b.size(10_000_000)
	return errors.Join(
		coresBare(b, "one by one", live, func(t *peer.Bare) take { return t.Take }),
		coresLedger(b, "one by one", live, func(e *engine) take { return e.take }),
		coresBare(b, "batches of 256", live, func(t *peer.Bare) take { return t.TakeBatches }),
		coresLedger(b, "batches of 256", live, func(e *engine) take { return e.batches(peer.BareBatch) }))
}

func coresLedger(b *bench, how string, live int64, by func(*engine) take) (err error) {
	s := stream.Tenth()
	e, err := openEngine(settings{Expect: room(s, live, 4*step(live), b.Rounds)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	c := &contestant{name: "hapax", take: e.batches(peer.BareBatch)}
	if err := c.fill(s, live); err != nil {
		return err
	}
	workers := []take{by(e), by(e.share())}
	figures, err := onCores(b.Rounds, s, c.at, step(live), [][]take{workers, workers[:1]})
	if err != nil {
		return err
	}
	work := fmt.Sprintf("two cores, %s, %s live", how, millions(live))
	return b.add(compare(work, figures[0], "one core", figures[1], "M/s", report.AtLeast(1.7, "×")))
}

func coresBare(b *bench, how string, live int64, by func(*peer.Bare) take) (err error) {
	s := stream.Stream{Seed: 1} // no duplicates: each table sees half of the ids
	var tables [3]*peer.Bare
	defer func() {
		for _, t := range tables {
			if t != nil {
				err = errors.Join(err, t.Close())
			}
		}
	}()
	for i := range tables {
		t, err := peer.NewBare(room(s, live, step(live), b.Rounds))
		if err != nil {
			return err
		}
		tables[i] = t
		if err := (&contestant{name: "bare table", take: t.TakeBatches}).fill(s, live); err != nil {
			return err
		}
	}
	figures, err := onCores(b.Rounds, s, live, step(live), [][]take{{by(tables[0]), by(tables[1])}, {by(tables[2])}})
	if err != nil {
		return err
	}
	line := compare("for comparison: the machine's own gain, "+how, figures[0], "one core", figures[1], "M/s", nil)
	line.Peer = "one bare table on one core (left: two on two)"
	return b.add(line)
}

// onCores gives each team, in turn, the next n messages, a share to each
// member, and as many processors as it has members. It returns rates by team.
func onCores(rounds int, s stream.Stream, at, n int64, teams [][]take) ([][]float64, error) {
	ids := make([]stream.ID, n)
	passes := make([]measure.Pass, len(teams))
	for i, team := range teams {
		passes[i] = func(int) (rate float64, err error) {
			s.Fill(ids, at)
			want := s.Fresh(at+n) - s.Fresh(at)
			at += n
			var spent time.Duration
			var fresh int64
			err = measure.Cores(len(team), func() (err error) {
				fresh, spent, err = together(team, ids)
				return err
			})
			if err == nil && fresh != want {
				err = fmt.Errorf("%d of %d messages were new, not %d", want, n, fresh)
			}
			return float64(n) / 1e6 / spent.Seconds(), err
		}
	}
	return measure.Rounds(rounds, passes)
}

// together lets every member take its share at the same time.
func together(team []take, ids []stream.ID) (fresh int64, spent time.Duration, err error) {
	counts, faults := make([]int, len(team)), make([]error, len(team))
	var all sync.WaitGroup
	start := time.Now()
	for i, member := range team {
		share := ids[len(ids)*i/len(team) : len(ids)*(i+1)/len(team)]
		all.Go(func() { counts[i], faults[i] = member(share) })
	}
	all.Wait()
	spent = time.Since(start)
	for _, k := range counts {
		fresh += int64(k)
	}
	return fresh, spent, errors.Join(faults...)
}
