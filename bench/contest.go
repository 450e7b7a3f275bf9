package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/peer"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/stream"
)

// take takes ids in and returns how many were new.
type take func(ids []stream.ID) (fresh int, err error)

// portion is how many ids are made at once, outside the measured time. It is a
// multiple of every batch's size but that of durable batches.
const portion = 16_384

// contestant is one who takes in the stream of messages. Each contestant of a
// contest goes through the same stream, from its own place.
type contestant struct {
	name string
	take take
	at   int64 // the next message
	ids  []stream.ID
}

// pass takes in the next n messages, checks that the right number was new and
// returns the time that took, ids made beforehand.
func (c *contestant) pass(s stream.Stream, n int64) (spent time.Duration, err error) {
	return c.timed(s, n, func(ids []stream.ID) (int, time.Duration, error) {
		start := time.Now()
		fresh, err := c.take(ids)
		return fresh, time.Since(start), err
	})
}

// timed is pass for a take that measures itself.
func (c *contestant) timed(s stream.Stream, n int64, take func([]stream.ID) (int, time.Duration, error)) (spent time.Duration, err error) {
	if c.ids == nil {
		c.ids = make([]stream.ID, portion)
	}
	want := s.Fresh(c.at+n) - s.Fresh(c.at)
	var fresh int64
	for end := c.at + n; c.at < end; {
		ids := c.ids[:min(int64(len(c.ids)), end-c.at)]
		s.Fill(ids, c.at)
		k, d, err := take(ids)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", c.name, err)
		}
		spent += d
		fresh += int64(k)
		c.at += int64(len(ids))
	}
	if fresh != want {
		return 0, fmt.Errorf("%s: %d of %d messages were new, not %d", c.name, want, n, fresh)
	}
	return spent, nil
}

// rates runs every contestant through n messages a round and returns their
// millions of messages a second, by contestant and round.
func rates(rounds int, s stream.Stream, n int64, contestants ...*contestant) ([][]float64, error) {
	passes := make([]measure.Pass, len(contestants))
	for i, c := range contestants {
		passes[i] = perSecond(n, 1e6, func() (time.Duration, error) { return c.pass(s, n) })
	}
	return measure.Rounds(rounds, passes)
}

// perSecond turns the time for n messages into so many (1e6: millions) a second.
func perSecond(n int64, unit float64, turn func() (time.Duration, error)) measure.Pass {
	return func(int) (float64, error) {
		spent, err := turn()
		return float64(n) / unit / spent.Seconds(), err
	}
}

// fill takes in the stream up to n new ids.
func (c *contestant) fill(s stream.Stream, n int64) error {
	_, err := c.pass(s, s.Messages(n)-c.at)
	return err
}

// compare is a line of medians: more is better for rates.
func compare(work string, ours []float64, peer string, theirs []float64, unit string, bound *report.Bound) report.Line {
	return report.Line{
		Work:  work,
		Ours:  report.Of(measure.Median(ours), unit),
		Peer:  peer,
		Their: report.Of(measure.Median(theirs), unit),
		Ratio: measure.Ratio(ours, theirs),
		Bound: bound,
	}
}

// room is how many ids a table must hold that starts with live ones and goes
// through the rounds.
func room(s stream.Stream, live, n int64, rounds int) int64 {
	return s.Fresh(s.Messages(live) + n*int64(rounds))
}

// pair is a ledger in memory and the bare table, that it is measured beside.
type pair struct {
	engine *engine
	bare   *peer.Bare
}

// openPair makes them with room for so many ids.
func openPair(ours, theirs int64) (*pair, error) {
	e, err := openEngine(settings{Expect: ours})
	if err != nil {
		return nil, err
	}
	bare, err := peer.NewBare(theirs)
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	return &pair{e, bare}, nil
}

func (p *pair) close() error {
	return errors.Join(p.bare.Close(), p.engine.close())
}
