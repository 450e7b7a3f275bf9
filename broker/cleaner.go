package broker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/internal/wal"
)

// cleaner moves old records by appending them again, beside everybody else: it
// compacts, regroups what is small, and empties files of the log that are mostly
// dead. All of it goes through [partition.Old.Keep].
type cleaner struct {
	b      *Broker
	counts cleanerCounts

	working   sync.Mutex // one at a time moves records; guards what follows
	busy      time.Time  // since it rested
	patience  int        // how much longer it rests than it works
	unchecked int64      // bytes moved since the disk was looked at
}

// cleanerCounts count since the node was opened.
type cleanerCounts struct {
	passes     atomic.Uint64 // compactions of a partition
	failures   atomic.Uint64
	records    atomic.Uint64 // that compaction read
	dropped    atomic.Uint64 // that it dropped
	unreadable atomic.Uint64 // batches that it could not read
	compacted  atomic.Uint64 // bytes written, by why
	regrouped  atomic.Uint64
	reclaimed  atomic.Uint64
}

func (c *cleanerCounts) write(e *exposition) {
	e.counter("hapax_compactions_total", c.passes.Load())
	e.counter("hapax_cleaner_failures_total", c.failures.Load())
	e.counter("hapax_compaction_records_read_total", c.records.Load())
	e.counter("hapax_compaction_records_dropped_total", c.dropped.Load())
	e.counter("hapax_compaction_unreadable_batches_total", c.unreadable.Load())
	e.counter(`hapax_moved_bytes_total{why="compaction"}`, c.compacted.Load())
	e.counter(`hapax_moved_bytes_total{why="small batches"}`, c.regrouped.Load())
	e.counter(`hapax_moved_bytes_total{why="dead file"}`, c.reclaimed.Load())
}

const (
	// leastFree is how much of the disk is left for new records: with less, nothing
	// is moved.
	leastFree = 256 << 20
	// mostlyDead is how many bytes of a file there are for each that is live, at
	// least, for it to be emptied.
	mostlyDead = 4
	// worthTrimming is how many bytes of needless files begin a new one, so that they
	// can go.
	worthTrimming = 64 << 20
	// maxBusy is how long the cleaner works before it rests.
	maxBusy = 5 * time.Millisecond
	// It rests the less the more small extents there are in memory: four times as long
	// as it works below fewSmall, and not at all above manySmall.
	fewSmall  = 1 << 20
	manySmall = 4 << 20
)

// errNearlyFull is why records are not moved.
var errNearlyFull = errors.New("the disk is nearly full: make room, or have less kept")

// run looks every so often for something to do, until ctx ends.
func (c *cleaner) run(ctx context.Context) {
	repeat(ctx, c.b.settings.number("log.cleaner.backoff.ms"), time.Hour, func() {
		if err := c.once(ctx); err != nil && ctx.Err() == nil {
			c.counts.failures.Add(1)
			c.b.options.Logger.Warn("old records are not cleaned", "error", err)
		}
	})
}

// once does what there is to do now.
func (c *cleaner) once(ctx context.Context) error {
	c.working.Lock()
	defer c.working.Unlock()
	if c.b.wal.Err() != nil {
		return nil // it is said already
	}
	if err := c.room(); err != nil {
		c.trim(1) // that makes some
		return err
	}
	c.busy, c.patience = time.Now(), 1
	err := c.compactAll(ctx)
	c.patience = patienceFor(smallOf(partitionsOf(c.b.topics)))
	for _, t := range c.b.topics.list() {
		for _, p := range t.partitions {
			err = errors.Join(err, c.regroup(ctx, t, p))
		}
	}
	err = errors.Join(err, c.reclaim(ctx))
	c.trim(worthTrimming)
	return err
}

// room tells whether there is enough of the disk left to move records.
func (c *cleaner) room() error {
	c.unchecked = 0
	free, err := c.b.options.FS.Free(c.b.dir)
	if err == nil && free < leastFree {
		err = errNearlyFull
	}
	return err
}

// smallOf is how many small extents there are.
func smallOf(all []*partition.Partition) (n int) {
	for _, p := range all {
		n += partition.Old{Partition: p}.CountSmall()
	}
	return n
}

func patienceFor(small int) int {
	switch {
	case small < fewSmall:
		return 4
	case small < manySmall:
		return 1
	}
	return 0
}

// spanOf is how far apart the times of a topic's records may be that are moved
// together, ms: from then on the newest alone tells how old they are, and so they go,
// or are compacted, that much later.
func spanOf(t *topic) int64 {
	span := time.Hour.Milliseconds()
	if keep := t.rules.retentionMs; t.rules.expire && keep >= 0 {
		span = max(span, keep/16)
	}
	if t.rules.compact {
		span = min(span, t.rules.compaction.mostLag/16)
	}
	return span
}

// regroup moves small extents of a partition together.
func (c *cleaner) regroup(ctx context.Context, t *topic, p *partition.Partition) error {
	newest, old := c.b.wal.Newest(), partition.Old{Partition: p}
	for offset := int64(0); offset >= 0; {
		extents, next := old.Small(offset, newest, spanOf(t))
		if err := c.move(ctx, p, extents, &c.counts.regrouped); err != nil {
			return err
		}
		offset = next
	}
	return nil
}

// reclaim empties the files of the log that are mostly dead.
func (c *cleaner) reclaim(ctx context.Context) error {
	live := c.b.needed()
	for _, f := range c.b.wal.Older() {
		if n := live[f.Number]; n == 0 || n*mostlyDead > f.End {
			continue
		}
		if err := c.empty(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func (c *cleaner) empty(ctx context.Context, f wal.Ended) error {
	for _, t := range c.b.topics.list() {
		for _, p := range t.partitions {
			old, offset := partition.Old{Partition: p}, int64(0)
			for {
				extents := old.In(f.Number, offset, spanOf(t))
				if len(extents) == 0 {
					break
				}
				if err := c.move(ctx, p, extents, &c.counts.reclaimed); err != nil {
					return err
				}
				offset = extents[len(extents)-1].Last + 1
			}
		}
	}
	return nil
}

// trim has files go that are not needed any more, if they have so many bytes.
func (c *cleaner) trim(least int64) {
	live, needless := c.b.needed(), int64(0)
	for _, f := range c.b.wal.Older() {
		if live[f.Number] == 0 {
			needless += f.End
		}
	}
	if needless >= least {
		c.b.wal.Trim(least)
	}
}

// move appends adjacent extents again, as they are.
func (c *cleaner) move(ctx context.Context, p *partition.Partition, extents []partition.Extent, count *atomic.Uint64) error {
	if len(extents) == 0 {
		return ctx.Err()
	}
	b, times, err := c.load(p, extents)
	if err == nil {
		err = c.keep(ctx, p, partition.Kept{
			From: extents[0].Base, To: extents[len(extents)-1].Last + 1, First: extents[0], Batches: b, Times: times,
		}, count)
	}
	if errors.Is(err, errMoved) {
		return ctx.Err() // they are gone meanwhile
	}
	return err
}

// load reads extents of a partition, and when their batches were appended.
func (c *cleaner) load(p *partition.Partition, extents []partition.Extent) (all []byte, times []int64, err error) {
	for _, e := range extents {
		b, at, err := c.b.records.timed(e, p.Number())
		if err == nil {
			err = eachBatch(b, func([]byte) error { times = append(times, at.Next()); return nil })
		}
		if err != nil {
			return nil, nil, err
		}
		all = append(all, b...)
	}
	return all, times, nil
}

// keep puts batches in the place of what was there, and rests. With errMoved nothing
// has changed, for the first of them is gone.
func (c *cleaner) keep(ctx context.Context, p *partition.Partition, k partition.Kept, count *atomic.Uint64) error {
	moved, err := partition.Old{Partition: p}.Keep(k)
	if err == nil && !moved {
		err = errMoved
	}
	if err != nil {
		return err
	}
	count.Add(uint64(len(k.Batches)))
	c.unchecked += int64(len(k.Batches))
	if c.unchecked >= worthTrimming {
		c.trim(worthTrimming)
		if err := c.room(); err != nil {
			return err
		}
	}
	return c.rest(ctx)
}

// rest lets others work.
func (c *cleaner) rest(ctx context.Context) error {
	worked := time.Since(c.busy)
	if worked < maxBusy {
		return ctx.Err()
	}
	timer := time.NewTimer(min(worked*time.Duration(c.patience), time.Second))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	c.busy = time.Now()
	return ctx.Err()
}

// eachBatch calls do for each of some batches, unless one is not as it was written.
func eachBatch(b []byte, do func(one []byte) error) error {
	for len(b) > 0 {
		one, rest, err := batch.Next(b)
		if err == nil && !batch.Intact(one) {
			err = refuse(code.CorruptMessage, "records are not as they were written: restore the log from a backup")
		}
		if err == nil {
			err = do(one)
		}
		if err != nil {
			return err
		}
		b = rest
	}
	return nil
}
