package broker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/txn"
)

// AddPartitionsToTxn (24), versions 0 to 3: puts partitions into a transaction,
// which begins with the first. All are put into it, or none is.
//
//	2  PRODUCER_FENCED
//	3  flexible
//
// Versions 4 and 5 are for brokers among themselves.
func (t *transactions) addPartitionsToTxn(req *kmsg.AddPartitionsToTxnRequest) answer {
	resp := req.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	asked := txn.AddPartitionsRequest{
		Version: req.Version, ID: strings.Clone(req.TransactionalID),
		Producer: txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch},
	}
	unknown := false
	for i := range req.Topics {
		in := t.b.topics.named(req.Topics[i].Topic)
		done := kmsg.NewAddPartitionsToTxnResponseTopic()
		done.Topic = strings.Clone(req.Topics[i].Topic)
		for _, number := range req.Topics[i].Partitions {
			d := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
			d.Partition = number
			if p, err := partitionOf(in, number, false); err == nil {
				asked.Partitions = append(asked.Partitions, p.Number())
			} else {
				d.ErrorCode, unknown = int16(codeOf(err)), true
			}
			done.Partitions = append(done.Partitions, d)
		}
		resp.Topics = append(resp.Topics, done)
	}
	if unknown {
		fillAdded(resp, code.OperationNotAttempted)
		return ready(resp)
	}
	var refused code.Error
	end, err := t.change(asked.ID, func(c *txn.Coordinator, now int64) (event *txn.Event) {
		refused, event = c.DecideAddPartitions(asked, now)
		return event
	})
	return t.b.whenDurable(resp, end, err, func(err error) {
		if err != nil {
			refused = codeOf(err)
		}
		fillAdded(resp, refused)
	})
}

// fillAdded gives a code to all partitions that have none.
func fillAdded(resp *kmsg.AddPartitionsToTxnResponse, c code.Error) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			if d := &resp.Topics[i].Partitions[j]; d.ErrorCode == 0 {
				d.ErrorCode = int16(c)
			}
		}
	}
}
