package broker

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/txn"
)

// DescribeTransactions (65), version 0: how transactional ids stand (KIP-664).
func (t *transactions) describeTransactions(req *kmsg.DescribeTransactionsRequest) answer {
	resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
	var all []txn.Description
	end := t.look(func(c *txn.Coordinator, _ int64) {
		for _, id := range req.TransactionalIDs {
			d, refused := c.Describe(id)
			s := kmsg.NewDescribeTransactionsResponseTransactionState()
			if s.ErrorCode, s.TransactionalID = int16(refused), strings.Clone(id); refused == 0 {
				s.State, s.TimeoutMillis, s.StartTimestamp = d.State.String(), d.TimeoutMs, d.Started
				s.ProducerID, s.ProducerEpoch = d.Producer.ID, d.Producer.Epoch
			}
			resp.TransactionStates = append(resp.TransactionStates, s)
			all = append(all, d)
		}
	})
	for i := range all {
		resp.TransactionStates[i].Topics = t.b.topics.placesOf(all[i].Partitions)
	}
	return t.b.whenDurable(resp, end, nil, func(error) {})
}

// placesOf tells by topic which partitions have the numbers, which are sorted.
func (ts *topics) placesOf(numbers []uint32) (places []kmsg.DescribeTransactionsResponseTransactionStateTopic) {
	if len(numbers) == 0 {
		return nil
	}
	for _, t := range ts.list() {
		place := kmsg.NewDescribeTransactionsResponseTransactionStateTopic()
		place.Topic = t.name
		for i, p := range t.partitions {
			if _, found := slices.BinarySearch(numbers, p.Number()); found {
				place.Partitions = append(place.Partitions, int32(i))
			}
		}
		if len(place.Partitions) > 0 {
			places = append(places, place)
		}
	}
	return places
}
