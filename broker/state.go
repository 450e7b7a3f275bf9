package broker

import (
	"encoding/binary"
	"fmt"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/group"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/internal/wal"
)

// snapshot is wal.Options.Snapshot: all state but the records, which stay where
// they are. Topics come before their partitions.
func (b *Broker) snapshot(add wal.Add) error {
	for _, t := range b.topics.list() {
		made := topicMade{id: t.id, name: t.name, runs: t.runs(), settings: t.settings, window: t.window.state()}
		if err := add(frameTopicMade, made.encode()); err != nil {
			return err
		}
	}
	for _, p := range partitionsOf(b.topics) {
		if err := p.Snapshot(add); err != nil {
			return err
		}
	}
	if err := b.users.snapshot(add); err != nil {
		return err
	}
	if err := b.txns.snapshot(func(event []byte) error { return add(frameTransaction, event) }); err != nil {
		return err
	}
	if err := add(frameTime, binary.LittleEndian.AppendUint64(nil, uint64(b.time.newest()))); err != nil {
		return err
	}
	return b.groups.snapshot(func(event []byte) error { return add(frameGroup, event) })
}

// needed is wal.Options.Needed: how many bytes of the log's files are records.
func (b *Broker) needed() map[uint64]int64 {
	live := make(map[uint64]int64)
	for _, p := range partitionsOf(b.topics) {
		partition.Old{Partition: p}.Live(live)
	}
	b.windows.needed(live)
	return live
}

// replay takes over a frame of the log.
func (b *Broker) replay(f wal.Frame) error {
	b.windows.read = f.File
	switch f.Kind {
	case frameTopicMade:
		made, err := readTopicMade(f.Payload)
		if err != nil {
			return err
		}
		if b.topics.byID(made.id) == nil {
			b.topics.add(made, b.windows.replayed(made.id, made.window, f.File))
		}
		return nil
	case frameTopicDropped:
		id, err := readID(f.Payload)
		if t := b.topics.byID(id); t != nil && err == nil {
			b.topics.remove(t)
			b.groups.g.Apply(group.TopicDeleted{Topic: id})
		}
		return err
	case frameTopicConfigured:
		set, err := readTopicConfigured(f.Payload)
		if err == nil {
			b.topics.takeSettings(set, b.windows.replayed(set.id, set.window, f.File))
		}
		return err
	case frameTopicGrown:
		grown, err := readTopicGrown(f.Payload)
		if err == nil {
			b.topics.takeGrowth(grown)
		}
		return err
	case frameUser:
		return b.users.replay(f.Payload)
	case frameEnforced:
		return b.windows.replayEnforced(f)
	case frameTime:
		return b.time.replay(f.Payload)
	case frameTransaction:
		return b.txns.replay(f.Payload)
	case frameGroup:
		return b.groups.replay(f.Payload)
	case frameEnded:
		return b.txns.replayEnd(f)
	case partition.FrameTogether:
		return replayTogether(b, f)
	}
	return replayPartition(b, f)
}

// replayPartition takes over a frame about a partition.
func replayPartition(b *Broker, f wal.Frame) error {
	number, rest, err := partition.NumberOf(f.Payload)
	if err != nil {
		return err
	}
	p := b.topics.numbered(number)
	if p == nil {
		return nil // of a topic that is deleted
	}
	r := partition.Replay{Partition: p}
	switch f.Kind {
	case frameBatch, partition.FrameIDs:
		if now, _, err := partition.TimeOf(rest); err == nil {
			b.time.stored(now)
		}
		if f.Kind == partition.FrameIDs {
			return nil // they are for windows: see catchUp
		}
		return r.Batch(rest, f.File, f.Offset+4)
	case partition.FrameCut:
		return r.Cut(rest)
	case partition.FrameKept:
		return r.Keep(rest, f.File, f.Offset+4)
	case partition.FrameCleaned:
		return r.Cleaned(rest)
	case framePartition:
		return r.Restore(rest)
	case frameExtents:
		return r.RestoreExtents(rest)
	case frameAborted:
		return r.RestoreAborted(rest)
	}
	return fmt.Errorf("%w: frame of unknown type %d", hapax.ErrCorrupt, f.Kind)
}

// replayTogether takes over batches that were appended as one.
func replayTogether(b *Broker, f wal.Frame) error {
	all, err := partition.ReadTogether(f.Payload)
	if err != nil {
		return err
	}
	for _, one := range all {
		b.time.stored(one.Time)
		p := b.topics.numbered(one.Number)
		if p == nil {
			continue // of a topic that is deleted
		}
		if err := (partition.Replay{Partition: p}).Take(one.Batch, one.Time, f.File, f.Offset+one.At); err != nil {
			return err
		}
	}
	return nil
}
