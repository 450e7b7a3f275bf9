package broker

import (
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
)

// find is the topic with a name or, in newer versions, an id; nil if there is none.
func (ts *topics) find(name string, id [16]byte, byID bool) *topic {
	if byID {
		return ts.byID(id)
	}
	return ts.named(name)
}

// partitionOf is a partition of a topic that may be nil.
func partitionOf(t *topic, number int32, byID bool) (*partition.Partition, error) {
	switch {
	case t == nil && byID:
		return nil, refuse(code.UnknownTopicID, "there is no topic with that id")
	case t == nil:
		return nil, refuse(code.UnknownTopicOrPartition, "there is no such topic")
	case number < 0 || int(number) >= len(t.partitions):
		return nil, refuse(code.UnknownTopicOrPartition, "topic %q has no partition %d", t.name, number)
	}
	return t.partitions[number], nil
}
