package broker

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/group"
)

// OffsetCommit (8), versions 2 to 10: a group says how far it has read.
//
//	5   no retention time of its own
//	6   leader epoch
//	7   static members
//	8   flexible
//	9   members of the consumer protocol (KIP-848)
//	10  topic ids
func (c *conn) offsetCommit(_ context.Context, req *kmsg.OffsetCommitRequest) answer {
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	asked := group.CommitRequest{
		Version: req.Version, Group: strings.Clone(req.Group), Member: strings.Clone(req.MemberID), Instance: text(req.InstanceID),
		Generation: req.Generation, Producer: group.NoProducer, Retention: -1,
	}
	if req.Version < 5 {
		asked.Retention = req.RetentionTimeMillis
	}
	var places []*int16 // where the codes of asked.Offsets go
	for i := range req.Topics {
		topic := &req.Topics[i]
		done := kmsg.NewOffsetCommitResponseTopic()
		done.Topic, done.TopicID = strings.Clone(topic.Topic), topic.TopicID
		done.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(topic.Partitions))
		t := c.b.topics.find(topic.Topic, topic.TopicID, req.Version >= 10)
		for j := range topic.Partitions {
			p, d := &topic.Partitions[j], &done.Partitions[j]
			d.Partition = p.Partition
			if _, err := partitionOf(t, p.Partition, req.Version >= 10); err != nil {
				d.ErrorCode = int16(unknownTopic(err))
				continue
			}
			asked.Offsets = append(asked.Offsets, group.Offset{
				Partition: group.Partition{Topic: t.id, Index: p.Partition},
				Offset:    p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: text(p.Metadata),
			})
			places = append(places, &d.ErrorCode)
		}
		resp.Topics = append(resp.Topics, done)
	}
	var codes []code.Error
	end, err := c.b.groups.decide(func(g *group.Groups, now int64) (event group.Event) {
		codes, event = g.DecideCommit(asked, now)
		return event
	})
	return c.b.whenDurable(resp, end, err, func(err error) { putCodes(places, codes, err) })
}

// putCodes says what became of each offset, or of all if they could not be kept.
func putCodes(places []*int16, codes []code.Error, err error) {
	for i, place := range places {
		*place = int16(codeOf(err))
		if err == nil {
			*place = int16(codes[i])
		}
	}
}

// unknownTopic is what Kafka says of a topic id that it does not know where a name
// might have been given.
func unknownTopic(err error) code.Error {
	if c := codeOf(err); c != code.UnknownTopicID {
		return c
	}
	return code.UnknownTopicOrPartition
}
