package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hapaxmq/hapax/broker/compact"
	"github.com/hapaxmq/hapax/broker/partition"
)

// dirty is a partition that is to be compacted.
type dirty struct {
	topic *topic
	partition.Old
	partition.Dirty
	share float64 // of its bytes that were not compacted
}

// compactAll compacts what is dirty enough, the dirtiest first.
func (c *cleaner) compactAll(ctx context.Context) (err error) {
	if c.b.settings.value("log.cleaner.enable") != "true" {
		return nil
	}
	now := c.b.clock()
	var all []dirty
	for _, t := range c.b.topics.list() {
		if !t.rules.compact {
			continue
		}
		rules := &t.rules.compaction
		for _, p := range t.partitions {
			old := partition.Old{Partition: p}
			d := dirty{topic: t, Old: old, Dirty: old.Dirty(now, rules.lags)}
			if !d.FirstDirty {
				continue
			}
			d.share = float64(d.DirtyBytes) / float64(d.CleanBytes+d.DirtyBytes)
			if d.share > rules.ratio || d.Oldest < now-rules.mostLag {
				all = append(all, d)
			}
		}
	}
	slices.SortFunc(all, func(a, b dirty) int { return cmp.Compare(b.share, a.share) })
	for _, d := range all {
		if failed := c.compact(ctx, d, now); failed != nil {
			err = errors.Join(err, fmt.Errorf("compact topic %q: %w", d.topic.name, failed))
		}
	}
	return err
}

// compact is one pass over a partition.
func (c *cleaner) compact(ctx context.Context, d dirty, now int64) error {
	aborted := make(compact.Transactions)
	for _, a := range d.AbortedBelow(d.To) {
		aborted.Add(a.Producer, compact.Span{First: a.First, Last: a.Last})
	}
	latest := compact.NewLatest(c.b.settings.number("log.cleaner.dedupe.buffer.size"), aborted)
	to, err := c.learn(ctx, d, latest)
	if err != nil {
		return err
	}
	f := compact.Filter{
		Latest: latest, Aborted: aborted, Producers: make(map[int64]compact.Last),
		Now: now, Retention: d.topic.rules.compaction.retention,
	}
	for _, p := range d.Producers() {
		f.Producers[p.ID] = compact.Last{Offset: p.LastOffset, Epoch: p.Epoch}
	}
	pass := compacting{c: c, d: d, filter: &f}
	err = pass.all(ctx, to)
	if errors.Is(err, errMoved) {
		return nil // the next pass finds what is left of that range
	}
	if err != nil {
		return err
	}
	c.counts.passes.Add(1)
	c.counts.records.Add(uint64(f.Counts.Records))
	c.counts.dropped.Add(uint64(f.Counts.Dropped))
	c.counts.unreadable.Add(uint64(f.Counts.Unreadable))
	c.b.options.Logger.Debug("compacted", "topic", d.topic.name, "partition", d.Number(), "to", to, "keys", latest.Keys(),
		"records", f.Counts.Records, "dropped", f.Counts.Dropped, "unreadable", f.Counts.Unreadable)
	return d.Cleaned(to)
}

// learn finds the last offset of each key in what is dirty, and returns up to which
// offset it did.
func (c *cleaner) learn(ctx context.Context, d dirty, latest *compact.Latest) (to int64, err error) {
	for to = d.From; to < d.To && !latest.Full(); {
		extents := d.Extents(to, d.To, partition.MaxRun)
		if len(extents) == 0 {
			return d.To, nil // they were deleted meanwhile
		}
		for _, e := range extents {
			b, err := c.b.records.load([]partition.Extent{e})
			if errors.Is(err, errMoved) {
				b, err = nil, nil
			}
			if err == nil {
				err = eachBatch(b, func(one []byte) error { latest.Add(one); return nil })
			}
			if err != nil {
				return 0, err
			}
			if to = e.Last + 1; latest.Full() {
				break
			}
		}
		if err := c.rest(ctx); err != nil {
			return 0, err
		}
	}
	return to, nil
}

// compacting is the second half of a pass: what is left of ranges of offsets takes
// their place.
type compacting struct {
	c      *cleaner
	d      dirty
	filter *compact.Filter

	// The range that is at hand.
	first   partition.Extent
	from    int64
	to      int64
	read    int64 // bytes that it has
	left    []byte
	times   []int64 // when what is left was appended
	changed bool
}

const (
	// maxRange is how many bytes are read for what is moved at once.
	maxRange = 8 << 20
	// leastRange is from how many bytes on a range is left alone where nothing changes.
	leastRange = 64 << 10
)

func (x *compacting) all(ctx context.Context, to int64) error {
	for offset := x.d.Dirty.Start; offset < to; {
		extents := x.d.Extents(offset, to, partition.MaxRun)
		if len(extents) == 0 {
			break
		}
		for _, e := range extents {
			if err := x.add(ctx, e); err != nil {
				return err
			}
			offset = e.Last + 1
		}
	}
	return x.flush(ctx)
}

// add adds an extent to the range.
func (x *compacting) add(ctx context.Context, e partition.Extent) error {
	if x.read > 0 && (len(x.left)+int(e.Length) > partition.MaxRun || x.read > maxRange || !x.changed && x.read >= leastRange) {
		if err := x.flush(ctx); err != nil {
			return err
		}
	}
	b, times, err := x.c.b.records.timed(e, x.d.Number())
	if errors.Is(err, errMoved) {
		return x.flush(ctx) // it was deleted meanwhile, and so was what is before it
	}
	if err != nil {
		return err
	}
	if x.read == 0 {
		x.first, x.from = e, e.Base
	}
	x.to = e.Last + 1
	x.read += int64(e.Length)
	return eachBatch(b, func(one []byte) error {
		at := times.Next()
		left, same, err := x.filter.Append(x.left, one)
		if len(left) > len(x.left) {
			x.times = append(x.times, at)
		}
		x.left, x.changed = left, x.changed || !same
		return err
	})
}

// flush moves what is left of the range, if that is not all. With errMoved the
// range's beginning was deleted meanwhile, and what is behind it is as it was: the
// pass must not go on as if that were compacted.
func (x *compacting) flush(ctx context.Context) (err error) {
	if x.changed {
		err = x.c.keep(ctx, x.d.Partition, partition.Kept{From: x.from, To: x.to, First: x.first, Batches: x.left, Times: x.times}, &x.c.counts.compacted)
	}
	x.read, x.left, x.times, x.changed = 0, x.left[:0], x.times[:0], false
	return cmp.Or(err, x.c.rest(ctx))
}
