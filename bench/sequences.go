package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/peer"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/stream"
)

// sequences compares messages that their producers numbered with as many ids,
// in batches of 256, on one core: in memory, and with a directory.
func sequences(b *bench) error {
	return errors.Join(
		sequencesIn(b, "in memory", b.size(100_000_000), false),
		sequencesIn(b, "with a directory", b.size(10_000_000), true))
}

func sequencesIn(b *bench, where string, messages int64, directory bool) error {
	producers := []int64{0, 1000, b.size(1_000_000)} // 0: ids
	taken := make([][]tally, len(producers))
	passes := make([]measure.Pass, len(producers))
	for i, n := range producers {
		passes[i] = func(int) (float64, error) {
			t, err := tallyOnce(b, tallyArgs{Producers: n, Messages: messages}, directory)
			taken[i] = append(taken[i], t)
			return t.Time, err
		}
	}
	times, err := measure.Rounds(b.Rounds, passes)
	if err != nil {
		return err
	}
	for i, n := range producers[1:] {
		work := fmt.Sprintf("%s, %s messages of %s producers", where, millions(messages), millions(n))
		if err := addSequences(b, work, directory, [2][]float64{times[i+1], times[0]}, [2][]tally{taken[i+1], taken[0]}); err != nil {
			return err
		}
	}
	return nil
}

// addSequences adds the lines of one number of producers: our figures are the
// first of each pair, those of ids the second.
func addSequences(b *bench, work string, directory bool, times [2][]float64, taken [2][]tally) error {
	bytes := func(of func(tally) float64, ts []tally) (all []float64) {
		for _, t := range ts {
			all = append(all, of(t))
		}
		return all
	}
	memory := func(t tally) float64 { return t.Memory }
	disk := func(t tally) float64 { return t.Disk }
	first := compare(work+", time", times[0], "ids", times[1], "ns/message", nil)
	second := compare(work+", growth of RAM", bytes(memory, taken[0]), "ids", bytes(memory, taken[1]), "B/message", nil)
	if directory {
		third := compare(work+", files", bytes(disk, taken[0]), "ids", bytes(disk, taken[1]), "B/message", nil)
		return errors.Join(b.add(first), b.add(second), b.add(third))
	}
	first.Bound, second.Bound = report.AtMost(0.5, "×"), report.AtMost(0.1, "B/message")
	return errors.Join(b.add(first), b.add(second))
}

func tallyOnce(b *bench, args tallyArgs, directory bool) (t tally, err error) {
	if directory {
		args.Dir = b.path("sequences")
		defer func() { err = errors.Join(err, os.RemoveAll(args.Dir)) }()
	}
	return measure.Child[tally](b.ctx, "tally", args)
}

type tallyArgs struct {
	Dir       string // empty: in memory only
	Producers int64  // 0: messages have ids
	Messages  int64
}

// tally is what a message took: nanoseconds; bytes of resident memory at its
// peak above that once every producer was known (ids begin with none); bytes of
// files at the end.
type tally struct{ Time, Memory, Disk float64 }

// tallyTask takes messages in and measures their time and memory.
func tallyTask(args tallyArgs) (t tally, err error) {
	e, err := openEngine(settings{Dir: args.Dir, Producers: int(args.Producers)})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	ids := &contestant{name: "hapax", take: e.batches(peer.BareBatch), ids: make([]stream.ID, portion)}
	numbers := newNumbers(args.Producers)
	pass := func(n int64) (time.Duration, error) { return ids.pass(stream.Tenth(), n) }
	if args.Producers > 0 {
		pass = func(n int64) (time.Duration, error) { return numbers.pass(e, n) }
		if err := numbers.introduce(e); err != nil {
			return t, err
		}
	}
	if err := measure.ResetPeak(); err != nil {
		return t, err
	}
	before, err := measure.PeakMemory()
	if err != nil {
		return t, err
	}
	var spent time.Duration
	err = measure.OneCore(func() error {
		spent, err = pass(args.Messages)
		return err
	})
	if err != nil {
		return t, err
	}
	peak, err := measure.PeakMemory()
	n := float64(args.Messages)
	return tally{float64(spent) / n, float64(peak-before) / n, float64(e.gauges().Disk) / n}, err
}

// numbered is a message that its producer numbered.
type numbered struct {
	producer stream.ID
	number   uint64
}

// numbers makes messages of producers chosen at random. A message in ten, on
// average, repeats its producer's last number; each other one has the next.
type numbers struct {
	last     []uint64 // of each producer
	messages []numbered
	random   *rand.Rand
}

func newNumbers(producers int64) *numbers {
	return &numbers{make([]uint64, producers), make([]numbered, portion), rand.New(rand.NewPCG(1, 1))}
}

// introduce takes in the first message of each producer, and a few of all, so
// that nothing is used for the first time later.
func (s *numbers) introduce(e *engine) error {
	for from := 0; from < len(s.last); from += portion {
		messages := s.messages[:min(portion, len(s.last)-from)]
		for i := range messages {
			stream.Tenth().ID(&messages[i].producer, int64(from+i))
			messages[i].number = 0
		}
		fresh, err := e.takeNumbered(messages)
		if err == nil && fresh != len(messages) {
			err = fmt.Errorf("%d of %d producers were new", fresh, len(messages))
		}
		if err != nil {
			return err
		}
	}
	_, err := s.pass(e, 4*portion)
	return err
}

// pass takes in n messages, checks that the right number was new and returns the
// time that took, messages made beforehand.
func (s *numbers) pass(e *engine, n int64) (spent time.Duration, err error) {
	for ; n > 0; n -= portion {
		messages := s.messages[:min(portion, n)]
		want := s.fill(messages)
		start := time.Now()
		fresh, err := e.takeNumbered(messages)
		if err == nil && fresh != want {
			err = fmt.Errorf("%d of %d numbered messages were new, not %d", want, len(messages), fresh)
		}
		if err != nil {
			return 0, err
		}
		spent += time.Since(start)
	}
	return spent, nil
}

// fill makes the next messages and returns how many are new.
func (s *numbers) fill(dst []numbered) (fresh int) {
	for i := range dst {
		n := s.random.IntN(len(s.last))
		if s.random.IntN(10) != 0 {
			s.last[n]++
			fresh++
		}
		stream.Tenth().ID(&dst[i].producer, int64(n))
		dst[i].number = s.last[n]
	}
	return fresh
}
