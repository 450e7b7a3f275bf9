package group

import (
	"cmp"
	"slices"
	"strings"
)

// Partition is one of a topic's, by the topic's id: an offset never outlives its
// topic into another of the same name.
type Partition struct {
	Topic [16]byte
	Index int32
}

func (p Partition) compare(other Partition) int {
	return cmp.Or(slices.Compare(p.Topic[:], other.Topic[:]), cmp.Compare(p.Index, other.Index))
}

// NoProducer is the Producer of a commit outside of transactions.
const NoProducer int64 = -1

// Offset is how far a group has read a partition.
type Offset struct {
	Partition   Partition
	Offset      int64  // of the record to read next
	LeaderEpoch int32  // -1 if not said
	Metadata    string // the reader's own
	At          int64  // when it was committed, Unix ms
	Expires     int64  // Unix ms, if the reader said so (before version 5); else 0: by the settings
}

// cell is what a group knows of a partition.
type cell struct {
	committed Offset
	known     bool      // committed is something
	pending   []pending // of open transactions, in the order of the log
}

// pending is an offset that stands once its transaction commits.
type pending struct {
	producer int64
	offset   Offset
}

// promise notes an offset that depends on a transaction.
func (c *cell) promise(producer int64, o Offset) {
	c.settle(producer, false)
	c.pending = append(c.pending, pending{producer, o})
}

// settle ends what a producer has pending. What it commits is later than what
// came before it, committed or not.
func (c *cell) settle(producer int64, commit bool) {
	i := slices.IndexFunc(c.pending, func(p pending) bool { return p.producer == producer })
	switch {
	case i < 0:
	case commit:
		c.committed, c.known = c.pending[i].offset, true
		c.pending = slices.Delete(c.pending, 0, i+1)
	default:
		c.pending = slices.Delete(c.pending, i, i+1)
	}
}

// at returns a partition's cell, made if need be.
func (g *group) at(p Partition) *cell {
	c := g.cells[p]
	if c == nil {
		c = new(cell)
		g.cells[p] = c
	}
	return c
}

// partitions are those that g has cells of, in order.
func (g *group) partitions() []Partition {
	all := make([]Partition, 0, len(g.cells))
	for p := range g.cells {
		all = append(all, p)
	}
	slices.SortFunc(all, Partition.compare)
	return all
}

// sorted are all groups by name.
func (s *Groups) sorted() []*group {
	all := slices.Clone([]*group(s.queue))
	slices.SortFunc(all, func(a, b *group) int { return strings.Compare(a.name, b.name) })
	return all
}
