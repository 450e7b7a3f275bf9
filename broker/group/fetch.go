package group

import "github.com/hapaxmq/hapax/broker/code"

// Fetched is an offset as a group gets it back. Without one, Offset and
// LeaderEpoch are -1.
type Fetched struct {
	Partition   Partition
	Code        code.Error
	Offset      int64
	LeaderEpoch int32
	Metadata    string
}

// Fetch returns a group's offsets, one for each partition asked for. A group that
// is not there has none, which is no error. With stable, an offset that an open
// transaction is about to change is UnstableOffsetCommit (KIP-447).
func (s *Groups) Fetch(name string, partitions []Partition, stable bool) []Fetched {
	g := s.byName[name]
	all := make([]Fetched, 0, len(partitions))
	for _, p := range partitions {
		var c *cell
		if g != nil {
			c = g.cells[p]
		}
		all = append(all, c.fetch(p, stable))
	}
	return all
}

// FetchAll returns all offsets that a group has, by topic and partition; with
// stable also those that an open transaction is about to make its first.
func (s *Groups) FetchAll(name string, stable bool) []Fetched {
	g := s.byName[name]
	if g == nil {
		return nil
	}
	all := make([]Fetched, 0, len(g.cells))
	for _, p := range g.partitions() {
		if c := g.cells[p]; c.known || stable {
			all = append(all, c.fetch(p, stable))
		}
	}
	return all
}

func (c *cell) fetch(p Partition, stable bool) Fetched {
	switch {
	case c != nil && stable && len(c.pending) > 0:
		return Fetched{Partition: p, Code: code.UnstableOffsetCommit, Offset: -1, LeaderEpoch: -1}
	case c == nil || !c.known:
		return Fetched{Partition: p, Offset: -1, LeaderEpoch: -1}
	default:
		return Fetched{Partition: p, Offset: c.committed.Offset, LeaderEpoch: c.committed.LeaderEpoch, Metadata: c.committed.Metadata}
	}
}
