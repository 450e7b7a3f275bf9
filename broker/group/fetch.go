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

// FetchRequest is one group's part of OffsetFetch.
type FetchRequest struct {
	Group      string
	Member     string // "" if it is not said
	Epoch      int32  // negative if it is not said
	Partitions []Partition
	All        bool // all that the group has, instead of Partitions
	Stable     bool // what an open transaction is about to change is UnstableOffsetCommit (KIP-447)
}

// Fetch returns a group's offsets: one for each partition asked for, or all, by
// topic and partition; with Stable, also those that an open transaction is about
// to make its first. A group that is not there has none, which is no error. The
// code is that of the group: one of consumers holds who says who it is to it.
func (s *Groups) Fetch(r FetchRequest) (code.Error, []Fetched) {
	g := s.byName[r.Group]
	if g != nil && g.consumers != nil && (r.Member != "" || r.Epoch >= 0) {
		if refused := g.consumers.vouch(r.Member, r.Epoch, r.Partitions); refused != code.None {
			return refused, nil
		}
	}
	if r.All {
		return code.None, g.fetchAll(r.Stable)
	}
	all := make([]Fetched, 0, len(r.Partitions))
	for _, p := range r.Partitions {
		var c *cell
		if g != nil {
			c = g.cells[p]
		}
		all = append(all, c.fetch(p, r.Stable))
	}
	return code.None, all
}

func (g *group) fetchAll(stable bool) []Fetched {
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
