package broker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/group"
)

// OffsetDelete (47), version 0: a group forgets how far it has read some
// partitions, if none of its members reads their topic.
func offsetDelete(c *conn, req *kmsg.OffsetDeleteRequest) answer {
	resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
	asked := group.DeleteOffsets{Group: strings.Clone(req.Group)}
	var places []int // in resp.Topics, of asked.Topics
	for i := range req.Topics {
		topic := &req.Topics[i]
		done := kmsg.NewOffsetDeleteResponseTopic()
		done.Topic = strings.Clone(topic.Topic)
		t := c.b.topics.named(done.Topic)
		forget := group.DeleteTopic{Name: done.Topic}
		for _, p := range topic.Partitions {
			d := kmsg.NewOffsetDeleteResponseTopicPartition()
			d.Partition = p.Partition
			_, err := partitionOf(t, p.Partition, false)
			if d.ErrorCode = int16(codeOf(err)); err == nil {
				forget.Partitions = append(forget.Partitions, p.Partition)
			}
			done.Partitions = append(done.Partitions, d)
		}
		if t != nil {
			forget.ID = t.id
			asked.Topics, places = append(asked.Topics, forget), append(places, i)
		}
		resp.Topics = append(resp.Topics, done)
	}
	var refused code.Error
	var codes []code.Error
	end, err := c.b.groups.decide(func(g *group.Groups, _ int64) (event group.Event) {
		refused, codes, event = g.DecideDeleteOffsets(asked)
		return event
	})
	return c.b.whenDurable(resp, end, err, func(err error) {
		if err != nil {
			refused = codeOf(err)
		}
		if resp.ErrorCode = int16(refused); refused != code.None {
			resp.Topics = nil
			return
		}
		for i, place := range places {
			failOffsetDelete(&resp.Topics[place], codes[i])
		}
	})
}

func failOffsetDelete(t *kmsg.OffsetDeleteResponseTopic, c code.Error) {
	for i := range t.Partitions {
		if p := &t.Partitions[i]; p.ErrorCode == 0 {
			p.ErrorCode = int16(c)
		}
	}
}
