package broker

import (
	"cmp"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/group"
	"github.com/hapaxmq/hapax/broker/txn"
)

// TxnOffsetCommit (28), versions 0 to 5: how far a group will have read if a
// transaction commits.
//
//	2  leader epoch
//	3  flexible; members and generations (KIP-447)
//	4  TRANSACTION_ABORTABLE
//	5  the transaction takes the group in by itself (KIP-890)
func (t *transactions) txnOffsetCommit(req *kmsg.TxnOffsetCommitRequest) answer {
	resp := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
	asked := group.CommitRequest{
		Version: req.Version, Group: strings.Clone(req.Group), Member: strings.Clone(req.MemberID), Instance: text(req.InstanceID),
		Generation: req.Generation, Producer: req.ProducerID, Retention: -1,
	}
	var places []*int16 // where the codes of asked.Offsets go
	for i := range req.Topics {
		topic := &req.Topics[i]
		done := kmsg.NewTxnOffsetCommitResponseTopic()
		done.Topic = strings.Clone(topic.Topic)
		done.Partitions = make([]kmsg.TxnOffsetCommitResponseTopicPartition, len(topic.Partitions))
		in := t.b.topics.named(topic.Topic)
		for j := range topic.Partitions {
			p, d := &topic.Partitions[j], &done.Partitions[j]
			d.Partition = p.Partition
			if _, err := partitionOf(in, p.Partition, false); err != nil {
				d.ErrorCode = int16(codeOf(err))
				continue
			}
			asked.Offsets = append(asked.Offsets, group.Offset{
				Partition: group.Partition{Topic: in.id, Index: p.Partition},
				Offset:    p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: text(p.Metadata),
			})
			places = append(places, &d.ErrorCode)
		}
		resp.Topics = append(resp.Topics, done)
	}
	by := txn.GroupRequest{
		Version: req.Version, ID: strings.Clone(req.TransactionalID),
		Producer: txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}, Group: asked.Group,
	}
	codes, end, err := t.commitOffsets(by, asked)
	return t.b.whenDurable(resp, end, err, func(err error) { putCodes(places, codes, err) })
}

// commitOffsets makes offsets pending on a transaction. The codes are those of the
// offsets.
func (t *transactions) commitOffsets(by txn.GroupRequest, asked group.CommitRequest) (codes []code.Error, end int64, err error) {
	var refused code.Error
	var noted int64
	var failed error
	end, err = t.write(by.ID, func(c *txn.Coordinator, now int64) (event *txn.Event) {
		refused, event = c.DecideOffsetCommit(by, now)
		return event
	}, func(err error) {
		if err != nil || refused != code.None {
			return
		}
		noted, failed = t.b.groups.decideWithin(func(g *group.Groups, now int64) (event group.Event) {
			codes, event = g.DecideCommit(asked, now)
			return event
		})
	})
	if refused != code.None {
		codes = make([]code.Error, len(asked.Offsets))
		for i := range codes {
			codes[i] = refused
		}
	}
	return codes, max(end, noted), cmp.Or(err, failed)
}
