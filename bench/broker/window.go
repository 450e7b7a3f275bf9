package main

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/stream"
)

// windowed is work that a topic with a window does beside one without.
type windowed struct {
	shape      shape
	what       string // more of it, in words
	codec      kgo.CompressionCodec
	partitions int
	ids        stream.Stream
	live       int  // messages that the window has before the first turn
	grows      bool // their ids stay, and those of the turns come to them; else as many leave as come
	records    int  // a turn
	rate       float64
	added      *report.Bound // for the broker's CPU
}

// allNew is a stream of new ids.
func allNew() stream.Stream { return stream.Stream{Seed: 5} }

func (b *bench) windowThrough() error {
	plain := kgo.NoCompression()
	for _, w := range []windowed{
		{byHeader(), "all new", plain, 1, allNew(), 10_000_000, false, 4_000_000, 0.85, nil},
		{byHeader(), "all new", plain, 6, allNew(), 10_000_000, false, 4_000_000, 0.85, nil},
		{byHeader(), "all new, and it grows", plain, 1, allNew(), 10_000_000, true, 4_000_000, 0.85, nil},
		{byKey(), "all new", plain, 1, allNew(), 10_000_000, false, 4_000_000, 0.85, report.AtMost(150, "ns")},
		{byJSON(), "all new", plain, 1, allNew(), 1_000_000, true, 800_000, 0.8, report.AtMost(600, "ns")},
		{byHeader(), "half duplicates", plain, 1, stream.Stream{Seed: 5, Every: 2}, 10_000_000, true, 4_000_000, 0.7, nil},
	} {
		if err := b.windowPair(w); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) windowCodecs() error {
	for _, w := range []windowed{
		{byHeader(), "lz4", kgo.Lz4Compression(), 1, allNew(), 1_000_000, true, 2_000_000, 0.6, nil},
		{byHeader(), "zstd", kgo.ZstdCompression(), 1, allNew(), 1_000_000, true, 2_000_000, 0.6, nil},
		{byJSON(), "lz4", kgo.Lz4Compression(), 1, allNew(), 1_000_000, true, 400_000, 0.6, nil},
		{byJSON(), "zstd", kgo.ZstdCompression(), 1, allNew(), 1_000_000, true, 400_000, 0.6, nil},
	} {
		if err := b.windowPair(w); err != nil {
			return err
		}
	}
	return nil
}

// windowPair gives a topic with a window and one without the same messages in
// turns, and counts what can be read of each turn.
func (b *bench) windowPair(w windowed) error {
	w.live, w.records = b.size(w.live), b.size(w.records)
	var rates, cpu [2][]float64
	err := b.alone(func(n *node) error {
		settings := windowOf(w.shape.identity, 4<<30)
		if !w.grows {
			settings["hapax.window.count"] = strconv.Itoa(w.live)
		}
		topics, err := b.windowTopics(n, settings, w.partitions)
		if err != nil {
			return err
		}
		if _, _, err := n.send(b.ctx, topics[0], w.shape, w.shape.slabs(w.ids, 0, w.live), time.Hour); err != nil {
			return err
		}
		var passes [2]measure.Pass
		for i, topic := range topics {
			at := int64(w.live)
			passes[i] = func(int) (float64, error) {
				rate, spent, err := b.windowTurn(n, topic, w, at, i == 0)
				at += int64(w.records)
				rates[i], cpu[i] = append(rates[i], rate), append(cpu[i], spent)
				return 0, err
			}
			if _, err := passes[i](0); err != nil { // a turn that is not counted
				return err
			}
			rates[i], cpu[i] = nil, nil
		}
		_, err = measure.Rounds(b.rounds, passes[:])
		return err
	})
	if err != nil {
		return err
	}
	work := fmt.Sprintf("produce to a window of %.4g M ids, %s, partitions: %d, %s",
		float64(w.ids.Fresh(int64(w.live)))/1e6, w.shape.name, w.partitions, w.what)
	b.beside(work, "M/s", rates, report.AtLeast(w.rate, "×"))
	added := make([]float64, b.rounds)
	for i := range added {
		added[i] = cpu[0][i] - cpu[1][i]
	}
	b.add(report.Line{
		Work: work + ", the broker's CPU added a record", Ours: report.Of(measure.Median(added), "ns"),
		Peer: noWindow + ", all of it", Their: report.Of(measure.Median(cpu[1]), "ns"), Bound: w.added,
	})
	return nil
}

const noWindow = "the same topic without a window"

// beside adds a line of figures with a window and without.
func (b *bench) beside(work, unit string, figures [2][]float64, bound *report.Bound) {
	b.add(report.Line{
		Work: work, Ours: report.Of(measure.Median(figures[0]), unit),
		Peer: noWindow, Their: report.Of(measure.Median(figures[1]), unit),
		Ratio: measure.Ratio(figures[0], figures[1]), Bound: bound,
	})
}

// windowTurn returns millions of records a second and the broker's nanoseconds a
// record, for messages that a topic takes from one on.
func (b *bench) windowTurn(n *node, topic string, w windowed, from int64, window bool) (rate, cpu float64, err error) {
	slab := w.shape.slab(w.ids, from, w.records)
	var d time.Duration
	kept, err := b.kept(n, topic, w.shape, w.partitions, func() error {
		measure.Settle()
		if err := measure.Warm(turnMemory); err != nil {
			return err
		}
		spent, err := n.Spent(func() (err error) {
			_, d, err = n.send(b.ctx, topic, w.shape, once(slab), time.Hour, kgo.ProducerBatchCompression(w.codec))
			return err
		})
		rate, cpu = float64(w.records)/1e6/d.Seconds(), spent*1e9/float64(w.records)
		return err
	})
	want := int64(w.records)
	if window {
		want = w.ids.Fresh(from+want) - w.ids.Fresh(from)
	}
	if err == nil && kept != want {
		err = fmt.Errorf("%d of %d records can be read, and should be %d", kept, w.records, want)
	}
	return rate, cpu, err
}

// turnMemory is more than client, broker and the system's cache of files take anew in a
// turn.
const turnMemory = 2 << 30

// windowTopics makes a topic with a window and one without.
func (b *bench) windowTopics(n *node, window map[string]string, partitions int) (topics [2]string, err error) {
	for i, settings := range []map[string]string{window, nil} {
		if topics[i], err = n.create(b.ctx, partitions, settings); err != nil {
			return topics, err
		}
	}
	return topics, nil
}

// windowOf are the settings of a topic with a window of an hour.
func windowOf(identity string, memory int) map[string]string {
	return map[string]string{
		"hapax.identity": identity, "hapax.window.ms": "3600000", "hapax.window.memory.bytes": strconv.Itoa(memory),
	}
}

// kept runs f and counts the records that can be read of what it produced.
func (b *bench) kept(n *node, topic string, s shape, partitions int, f func() error) (count int64, err error) {
	from, err := b.mark(n, topic, s, partitions)
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	to, err := b.mark(n, topic, s, partitions)
	if err != nil {
		return 0, err
	}
	starts := make(map[int32]kgo.Offset)
	for p := range partitions {
		starts[int32(p)] = kgo.NewOffset().At(from[p] + 1)
	}
	c, err := n.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: starts}))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for left := partitions; left > 0; {
		fetches := c.PollFetches(b.ctx)
		if err := fetches.Err(); err != nil {
			return 0, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset == to[r.Partition] {
				left--
			}
			if r.Offset < to[r.Partition] {
				count++
			}
		})
	}
	return count, nil
}

// mark produces a record with a new id to each partition and returns where they are.
func (b *bench) mark(n *node, topic string, s shape, partitions int) (offsets []int64, err error) {
	c, err := n.client(kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for p := range partitions {
		record := s.one(stream.Stream{Seed: 6}, time.Now().UnixNano())
		record.Partition = int32(p)
		if err := c.ProduceSync(b.ctx, record).FirstErr(); err != nil {
			return nil, fmt.Errorf("produce a mark: %w", err)
		}
		offsets = append(offsets, record.Offset)
	}
	return offsets, nil
}

// windowSingle has 64 callers who each wait for their record's acknowledgement.
func (b *bench) windowSingle() error {
	const callers = 64
	s, live := byHeader(), b.size(10_000_000)
	var figures [3][2][]float64
	err := b.alone(func(n *node) error {
		topics, err := b.windowTopics(n, windowOf(s.identity, 4<<30), 1)
		if err != nil {
			return err
		}
		if _, _, err := n.send(b.ctx, topics[0], s, s.slabs(allNew(), 0, live), time.Hour); err != nil {
			return err
		}
		var number atomic.Int64
		number.Store(int64(live))
		next := func() *kgo.Record { return s.one(allNew(), number.Add(1)) }
		var passes [2]measure.Pass
		for i, topic := range topics {
			passes[i] = func(int) (float64, error) {
				if err := measure.Warm(turnMemory); err != nil {
					return 0, err
				}
				turn, err := b.singleTo(n, topic, callers, next)
				for k, figure := range turn {
					figures[k][i] = append(figures[k][i], figure)
				}
				return 0, err
			}
			if _, err := passes[i](0); err != nil { // a turn that is not counted
				return err
			}
			for k := range figures {
				figures[k][i] = nil
			}
		}
		_, err = measure.Rounds(b.rounds, passes[:])
		return err
	})
	if err != nil {
		return err
	}
	work := fmt.Sprintf("one by one to a window of %.4g M ids, %s, callers: %d", float64(live)/1e6, s.name, callers)
	b.beside(work, "k/s", figures[0], report.AtLeast(0.9, "×"))
	b.beside(work+", p50", "ms", figures[1], nil)
	b.beside(work+", p99", "ms", figures[2], nil)
	return nil
}
