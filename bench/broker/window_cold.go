package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/server"
	"github.com/hapaxmq/hapax/bench/stream"
)

// windowCold takes 200 M new ids in, and one in a hundred again whose id is long on
// disk, with 1 GiB for the node, the page cache of its files included. The log keeps
// little of it, the window all. A consumer behind the producer checks that every id is
// there once.
func (b *bench) windowCold() error {
	limit, memory := int64(max(b.size(1<<30), 192<<20)), max(b.size(704<<20), 32<<20) // a broker needs some itself
	group, err := measure.NewCgroup(fmt.Sprintf("hapax-bench-%d", os.Getpid()), limit)
	if err != nil {
		return err
	}
	line := report.Line{
		Work:  fmt.Sprintf("produce to a window of %d M ids in %d MiB, page cache included, 1 %% cold duplicates", b.size(200_000_000)/1_000_000, limit>>20),
		Bound: report.AtLeast(150, "k/s"),
	}
	err = b.coldOnce(group, memory, &line)
	peak, peakErr := group.Peak()
	if err := errors.Join(err, peakErr, group.Close()); err != nil {
		line.Ours, line.Error = nil, err.Error()
	}
	line.Note += fmt.Sprintf(" The group's peak: %d MiB.", peak>>20)
	b.add(line)
	return nil
}

func (b *bench) coldOnce(group *measure.Cgroup, memory int, line *report.Line) error {
	status, err := server.FreeAddress()
	if err != nil {
		return err
	}
	data := filepath.Join(b.dir, "cold")
	n, err := hapax(b.nodes[0].Command().Path, data, "--http", status, "--set", "log.retention.check.interval.ms=1000")
	if err != nil {
		return err
	}
	command := n.Command
	n.Command = func() *exec.Cmd { return within(group, command()) }
	if err := n.Start(b.ctx); err != nil {
		return err
	}
	err = b.coldTake(n, memory, line)
	line.Note += saidOf(b.ctx, status)
	disk, diskErr := measure.Disk(data)
	line.Note += fmt.Sprintf(" Files: %d MiB.", disk>>20)
	return errors.Join(err, diskErr, n.End(os.Kill), os.RemoveAll(data))
}

// within is a command that enters a group before it becomes the other.
func within(group *measure.Cgroup, c *exec.Cmd) *exec.Cmd {
	enter := []string{"-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(group.Dir, "cgroup.procs")}
	return exec.Command("sh", append(enter, c.Args...)...)
}

func (b *bench) coldTake(n *node, memory int, line *report.Line) error {
	s, ids := byHeader(), stream.Stream{Seed: 5, Every: 100, Among: 2}
	messages := ids.Messages(int64(b.size(200_000_000)))
	settings := windowOf(s.identity, memory)
	settings["hapax.window.ms"] = strconv.FormatInt((24 * time.Hour).Milliseconds(), 10)
	retention := max(b.size(2<<30), 256<<20) // more than the consumer is behind
	settings["retention.bytes"] = strconv.Itoa(retention)
	topic, err := n.create(b.ctx, 1, settings)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	seen := make(chan error, 1)
	fresh := ids.Fresh(messages)
	var read atomic.Int64
	go func() { seen <- n.eachOnce(ctx, topic, fresh, &read) }()
	const slowest = 75_000 // records a second
	sent, d, err := n.send(b.ctx, topic, s, s.behind(ids, messages, &read), time.Duration(messages/slowest+1)*time.Second)
	if err == nil && sent < messages {
		err = fmt.Errorf("only %d M of %d M messages within %v", sent/1e6, messages/1e6, d.Round(time.Second))
	}
	if err != nil {
		stop()
		return errors.Join(err, <-seen)
	}
	after := time.AfterFunc(time.Minute, stop) // it follows closely
	defer after.Stop()
	if err := <-seen; err != nil {
		return err
	}
	line.Ours = report.Of(float64(sent)/1e3/d.Seconds(), "k/s")
	line.Note = fmt.Sprintf("A consumer read each of %d ids once, of %d messages, while they came, which waited for it where it fell behind; retention.bytes: %d MiB.", fresh, sent, retention>>20)
	return nil
}

// behind is the messages of a stream, which wait for a reader who is so far behind that
// the broker may have let go of what it has yet to read.
func (s shape) behind(ids stream.Stream, messages int64, read *atomic.Int64) func() []byte {
	const most = 6_000_000
	next, given := s.slabs(ids, 0, int(messages)), int64(0)
	return func() []byte {
		for until := time.Now().Add(time.Minute); ids.Fresh(given)-read.Load() > most && time.Now().Before(until); {
			time.Sleep(10 * time.Millisecond)
		}
		slab := next()
		given += int64(len(slab) / s.part)
		return slab
	}
}

// eachOnce reads a topic until it has seen the numbers below count, and tells if one
// came twice. It notes how many it has seen.
func (n *node) eachOnce(ctx context.Context, topic string, count int64, read *atomic.Int64) error {
	c, err := n.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer c.Close()
	seen := make([]uint64, count/64+1)
	var distinct, twice int64
	for distinct < count {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read: %d of %d ids, %d of them again: %w", distinct, count, twice, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			number := numberOf(r.Value)
			word, bit := &seen[number/64], uint64(1)<<(number%64)
			if *word&bit != 0 {
				twice++
				return
			}
			*word |= bit
			distinct++
		})
		read.Store(distinct)
	}
	if twice > 0 {
		return fmt.Errorf("read: %d ids came again", twice)
	}
	return nil
}
