package broker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeProducers (61), version 0: who writes to partitions, and since which
// offset a transaction is open (KIP-664).
func (t *transactions) describeProducers(req *kmsg.DescribeProducersRequest) answer {
	resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
	for i := range req.Topics {
		in := t.b.topics.named(req.Topics[i].Topic)
		done := kmsg.NewDescribeProducersResponseTopic()
		done.Topic = strings.Clone(req.Topics[i].Topic)
		for _, number := range req.Topics[i].Partitions {
			d := kmsg.NewDescribeProducersResponseTopicPartition()
			d.Partition = number
			p, err := partitionOf(in, number, false)
			if d.ErrorCode, d.ErrorMessage = int16(codeOf(err)), messageOf(err); err == nil {
				for _, from := range p.Producers() {
					a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
					a.ProducerID, a.ProducerEpoch, a.LastSequence = from.ID, int32(from.Epoch), from.LastSequence
					a.LastTimestamp, a.CoordinatorEpoch, a.CurrentTxnStartOffset = from.LastTime, from.CoordinatorEpoch, from.FirstOffset
					d.ActiveProducers = append(d.ActiveProducers, a)
				}
			}
			done.Partitions = append(done.Partitions, d)
		}
		resp.Topics = append(resp.Topics, done)
	}
	return t.b.whenDurable(resp, t.b.wal.End(), nil, func(error) {})
}
