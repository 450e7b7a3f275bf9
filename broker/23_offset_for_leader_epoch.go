package broker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// OffsetForLeaderEpoch (23), versions 2 to 4: where a leader's records end. Each
// partition has had one leader only.
//
//	3  who asks
//	4  flexible
func offsetForLeaderEpoch(c *conn, req *kmsg.OffsetForLeaderEpochRequest) answer {
	resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	for i := range req.Topics {
		asked := &req.Topics[i]
		t := c.b.topics.named(asked.Topic)
		done := kmsg.NewOffsetForLeaderEpochResponseTopic()
		done.Topic = strings.Clone(asked.Topic)
		for j := range asked.Partitions {
			done.Partitions = append(done.Partitions, endOfEpoch(t, &asked.Partitions[j]))
		}
		resp.Topics = append(resp.Topics, done)
	}
	return ready(resp)
}

func endOfEpoch(t *topic, asked *kmsg.OffsetForLeaderEpochRequestTopicPartition) kmsg.OffsetForLeaderEpochResponseTopicPartition {
	d := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
	d.Partition, d.LeaderEpoch, d.EndOffset = asked.Partition, -1, -1
	p, err := partitionOf(t, asked.Partition, false)
	switch {
	case err != nil:
	case asked.CurrentLeaderEpoch > leaderEpoch:
		err = refuse(code.UnknownLeaderEpoch, "the leader's epoch is %d", leaderEpoch)
	case asked.LeaderEpoch == leaderEpoch:
		d.LeaderEpoch, d.EndOffset = leaderEpoch, p.Limit(false)
	}
	d.ErrorCode = int16(codeOf(err))
	return d
}
