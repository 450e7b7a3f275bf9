package broker

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// mostDescribed is how many partitions one answer to DescribeTopicPartitions has at
// most.
const mostDescribed = 2000

// DescribeTopicPartitions (75), version 0: what Metadata tells of topics, by their
// names in order, a part at a time; the cursor says where the next part begins. No
// topics are all of them.
func describeTopicPartitions(c *conn, req *kmsg.DescribeTopicPartitionsRequest) answer {
	resp := req.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	room := mostDescribed
	if limit := int(req.ResponsePartitionLimit); limit > 0 {
		room = min(room, limit)
	}
	from := kmsg.NewDescribeTopicPartitionsRequestCursor()
	if req.Cursor != nil {
		from = *req.Cursor
	}
	for _, name := range namesFrom(c.b.topics, req.Topics, from.Topic) {
		first := 0
		if name == from.Topic {
			first = int(max(from.Partition, 0))
		}
		described, more := describePartitions(c.b.topics.named(name), name, first, room)
		if room -= len(described.Partitions); len(described.Partitions) > 0 || !more {
			resp.Topics = append(resp.Topics, described)
		}
		if more {
			next := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
			next.Topic, next.Partition = name, int32(first+len(described.Partitions))
			resp.NextCursor = &next
			break
		}
	}
	return ready(resp)
}

// namesFrom is the names of the topics asked for, from a name on, in order.
func namesFrom(ts *topics, asked []kmsg.DescribeTopicPartitionsRequestTopic, from string) (names []string) {
	for i := range asked {
		names = append(names, asked[i].Topic)
	}
	if len(asked) == 0 {
		for _, t := range ts.list() {
			names = append(names, t.name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	at, _ := slices.BinarySearch(names, from)
	return names[at:]
}

// describePartitions describes at most room partitions of t, which is nil if there
// is no topic of that name, and tells whether there are more.
func describePartitions(t *topic, name string, first, room int) (d kmsg.DescribeTopicPartitionsResponseTopic, more bool) {
	d = kmsg.NewDescribeTopicPartitionsResponseTopic()
	d.Topic = &name
	if t == nil {
		d.ErrorCode = int16(code.UnknownTopicOrPartition)
		return d, false
	}
	d.TopicID = t.id
	end := min(len(t.partitions), first+room)
	for i := first; i < end; i++ {
		p := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		p.Partition, p.LeaderID, p.LeaderEpoch = int32(i), nodeID, leaderEpoch
		p.Replicas, p.ISR = []int32{nodeID}, []int32{nodeID}
		p.EligibleLeaderReplicas, p.LastKnownELR, p.OfflineReplicas = []int32{}, []int32{}, []int32{}
		d.Partitions = append(d.Partitions, p)
	}
	return d, first+room < len(t.partitions)
}
