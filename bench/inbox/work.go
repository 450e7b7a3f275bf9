package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/stream"
	"github.com/hapaxmq/hapax/inbox"
)

// message is one of 100 bytes whose key is its id.
func message(number int64) *hapax.Message {
	var id stream.ID
	stream.Stream{Seed: 7}.ID(&id, number)
	value := make([]byte, 100)
	binary.LittleEndian.PutUint64(value, uint64(number))
	return &hapax.Message{Key: id[:], Value: value}
}

// placed is the same from one of sixteen partitions.
func placed(number int64) *hapax.Message {
	m := message(number)
	m.Position = hapax.Position{Source: fmt.Sprintf("bench/%d", number%partitions), Offset: number}
	return m
}

const partitions = 16

// handle handles the messages of some numbers, of which each comes once.
type handle func(ctx context.Context, number int64) error

// each hands the numbers of a turn to workers, and returns thousands a second. Worker
// w of n has those that are w, modulo n, in their order.
func each(ctx context.Context, from int64, count, workers int, h handle) (float64, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	began := time.Now()
	for w := range workers {
		all.Go(func() {
			for i := w; i < count && ctx.Err() == nil; i += workers {
				if err := h(ctx, from+int64(i)); err != nil {
					stop(fmt.Errorf("message %d: %w", from+int64(i), err))
				}
			}
		})
	}
	all.Wait()
	return float64(count) / 1e3 / time.Since(began).Seconds(), context.Cause(ctx)
}

// work is what two contestants do with messages.
type work struct {
	name    string
	workers int
	count   int // messages a turn
	peer    string
	bound   *report.Bound
	copies  bool // the same messages come each turn; the first does not count
}

// compare gives two contestants messages in turns, ours first. Each has numbers of
// its own.
func (b *bench) compare(w work, contestants [2]handle) error {
	var passes [2]measure.Pass
	for i, h := range contestants {
		var from atomic.Int64
		from.Store(b.fresh(w.count * (b.rounds + 1)))
		passes[i] = func(int) (float64, error) {
			rate, err := each(b.ctx, from.Load(), w.count, w.workers, h)
			if !w.copies {
				from.Add(int64(w.count))
			}
			return rate, err
		}
		if _, err := passes[i](0); err != nil { // a turn that is not counted
			return err
		}
	}
	figures, err := measure.Rounds(b.rounds, passes[:])
	if err != nil {
		return err
	}
	b.lines = append(b.lines, report.Line{
		Work: w.name, Ours: report.Of(measure.Median(figures[0]), "k/s"),
		Peer: w.peer, Their: report.Of(measure.Median(figures[1]), "k/s"),
		Ratio: measure.Ratio(figures[0], figures[1]), Bound: w.bound,
	})
	return nil
}

// fresh returns the first of some numbers that no message has had.
func (b *bench) fresh(count int) int64 {
	b.next += int64(count)
	return b.next - int64(count)
}

// executed says what is wrong with an outcome that should be that of a first copy.
func executed(r hapax.Result, err error) error {
	if err == nil && r.Outcome != hapax.Executed {
		err = fmt.Errorf("%v, and not %v", r.Outcome, hapax.Executed)
	}
	return err
}

// options are those of all inboxes here.
func options() inbox.Options {
	return inbox.Options{Name: "bench", Identity: "key", Window: inbox.Forever}
}
