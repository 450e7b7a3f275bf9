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

// durableBatches compares batches of 1,000, each on disk before the next, by
// one caller.
func durableBatches(b *bench) (err error) {
	const batch = 1000
	s := stream.Tenth()
	n := b.size(500_000)
	e, err := openEngine(settings{Dir: b.path("ledger"), Synced: true, Expect: s.Fresh(n * int64(b.Rounds))})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	hapax := &contestant{name: "hapax", take: e.takeBatch, ids: make([]stream.ID, batch)}
	contestants := []*contestant{hapax}
	passes := []measure.Pass{perSecond(n, 1e6, func() (time.Duration, error) { return hapax.pass(s, n) })}

	pebble, err := peer.OpenPebble(b.path("pebble"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pebble.Close()) }()
	theirs := &contestant{name: "Pebble", take: pebble.TakeBatch, ids: make([]stream.ID, batch)}
	contestants = append(contestants, theirs)
	passes = append(passes, perSecond(n, 1e6, func() (time.Duration, error) { return theirs.pass(s, n) }))

	work := "durable batches of 1,000, one caller"
	if rocks, openErr := peer.OpenRocksDB(b.ctx, b.path("rocksdb")); openErr == nil {
		defer func() { err = errors.Join(err, rocks.Close()) }()
		theirs := &contestant{name: "RocksDB", ids: make([]stream.ID, batch)}
		contestants = append(contestants, theirs)
		passes = append(passes, perSecond(n, 1e6, func() (time.Duration, error) { return theirs.timed(s, n, rocks.TakeBatch) }))
	} else if err := b.add(report.Line{Work: work, Peer: "RocksDB", Error: openErr.Error()}); err != nil {
		return err
	}
	figures, err := measure.Rounds(b.Rounds, passes)
	if err != nil {
		return err
	}
	return addBest(b, work, "M/s", contestants, figures, 20)
}

// addBest adds a line for every peer; the bound, if any, is on the fastest's.
func addBest(b *bench, work, unit string, contestants []*contestant, figures [][]float64, bound float64) error {
	best := 1
	for i := range figures {
		if i > 0 && measure.Median(figures[i]) > measure.Median(figures[best]) {
			best = i
		}
	}
	for i := 1; i < len(figures); i++ {
		line := compare(work, figures[0], contestants[i].name, figures[i], unit, nil)
		if i == best && bound != 0 {
			line.Bound = report.AtLeast(bound, "×")
		}
		if err := b.add(line); err != nil {
			return err
		}
	}
	return nil
}

// caller takes one id in and returns once that is on disk.
type caller func(id *stream.ID) (fresh bool, err error)

// durableSingle compares single ids, each on disk before its caller goes on.
func durableSingle(b *bench) error {
	return errors.Join(single(b, 1), single(b, 8))
}

func single(b *bench, callers int) (err error) {
	s := stream.Tenth()
	n := max(100, b.size(2000)) * int64(min(callers, 2))
	folder := func(name string) string { return b.path(fmt.Sprintf("%s-%d", name, callers)) }
	e, err := openEngine(settings{Dir: folder("ledger"), Synced: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	pebble, err := peer.OpenPebble(folder("pebble"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pebble.Close()) }()
	sqlite, err := peer.OpenSQLite(folder("sqlite"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sqlite.Close()) }()
	bolt, err := peer.OpenBolt(folder("bbolt"), callers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bolt.Close()) }()
	grown, err := peer.OpenFile(folder("growing"), 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, grown.Close()) }()
	written, err := peer.OpenFile(folder("written"), 64<<20)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, written.Close()) }()

	contestants := []*contestant{
		{name: "hapax", take: by(callers, e.takeOne)},
		{name: "Pebble", take: by(callers, pebble.TakeOne)},
		{name: "SQLite", take: by(callers, sqlite.TakeOne)},
		{name: "bbolt", take: by(callers, bolt.TakeOne)},
	}
	loops := []*contestant{
		{name: "one loop of write + fdatasync, growing file", take: by(1, grown.TakeOne)},
		{name: "one loop of write + fdatasync, pre-written file", take: by(1, written.TakeOne)},
	}
	var passes []measure.Pass
	for _, c := range contestants {
		passes = append(passes, perSecond(n, 1e3, func() (time.Duration, error) { return c.pass(s, n) }))
	}
	for _, c := range loops { // only new ids need a write
		passes = append(passes, perSecond(n, 1e3, func() (time.Duration, error) { return c.pass(stream.Stream{Seed: 1}, s.Fresh(n)) }))
	}
	figures, err := measure.Rounds(b.Rounds, passes)
	if err != nil {
		return err
	}
	return addSingle(b, callers, append(contestants, loops...), figures)
}

// addSingle adds a line for every peer. A single caller is bound by the bare
// loop, the first of the two last contestants, many by the best of the stores.
func addSingle(b *bench, callers int, contestants []*contestant, figures [][]float64) error {
	stores := len(contestants) - 2
	work := fmt.Sprintf("durable one by one, callers: %d", callers)
	bound := 2.0
	if callers == 1 {
		bound = 0
	}
	if err := addBest(b, work, "k/s", contestants[:stores], figures[:stores], bound); err != nil {
		return err
	}
	for i := stores; i < len(contestants); i++ {
		line := compare(work, figures[0], contestants[i].name, figures[i], "k/s", nil)
		if callers == 1 && i == stores {
			line.Bound = report.AtLeast(0.9, "×")
		}
		if err := b.add(line); err != nil {
			return err
		}
	}
	return nil
}

// by shares ids out to so many concurrent callers.
func by(callers int, one caller) take {
	each := func(ids []stream.ID) (fresh int, err error) {
		for i := range ids {
			isNew, err := one(&ids[i])
			if err != nil {
				return fresh, err
			}
			if isNew {
				fresh++
			}
		}
		return fresh, nil
	}
	team := make([]take, callers)
	for i := range team {
		team[i] = each
	}
	return func(ids []stream.ID) (int, error) {
		fresh, _, err := together(team, ids)
		return int(fresh), err
	}
}
