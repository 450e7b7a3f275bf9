package broker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// DeleteRecords (21), versions 0 to 2: lets the first records of partitions go.
//
//	2  flexible
func deleteRecords(c *conn, req *kmsg.DeleteRecordsRequest) answer {
	resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
	last := int64(0)
	for i := range req.Topics {
		asked := &req.Topics[i]
		t := c.b.topics.named(asked.Topic)
		done := kmsg.NewDeleteRecordsResponseTopic()
		done.Topic = strings.Clone(asked.Topic)
		for _, p := range asked.Partitions {
			d := kmsg.NewDeleteRecordsResponseTopicPartition()
			d.Partition = p.Partition
			start, end, err := c.b.retention.cut(t, p.Partition, p.Offset)
			d.LowWatermark, d.ErrorCode = start, int16(codeOf(err))
			last = max(last, end)
			done.Partitions = append(done.Partitions, d)
		}
		resp.Topics = append(resp.Topics, done)
	}
	return c.b.whenDurable(resp, last, nil, func(err error) {
		if err != nil {
			failDeleteRecords(resp, codeOf(err))
		}
	})
}

func failDeleteRecords(resp *kmsg.DeleteRecordsResponse, c code.Error) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			if d := &resp.Topics[i].Partitions[j]; d.ErrorCode == 0 {
				d.LowWatermark, d.ErrorCode = -1, int16(c)
			}
		}
	}
}
