package broker

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/txn"
)

// admission is what the coordinator says of the transactional batches of one
// request. Others need none, even of a producer with an open transaction.
type admission struct {
	id       string
	producer txn.Producer // of the batches
	reply    txn.ProduceReply
	err      error // none is admitted, for the log has failed
}

// admits tells whether a batch may be written.
func (a *admission) admits(number uint32, id int64, epoch int16) error {
	from := txn.Producer{ID: id, Epoch: epoch}
	switch {
	case a == nil:
		return refuse(code.InvalidTxnState, "a transactional batch, and the request has no transactional id")
	case a.err != nil:
		return a.err
	case from != a.producer:
		return refuse(code.InvalidProducerIDMapping, "producers %d and %d in one request with a transactional id", from.ID, a.producer.ID)
	case a.reply.Code == code.None:
		return nil
	case len(a.reply.Outside) == 0 || slices.Contains(a.reply.Outside, number):
		return refuse(a.reply.Code, "producer %d, epoch %d may not write to the partition in its transaction: %s", id, epoch, a.reply.Code)
	}
	return nil
}

// inTransaction asks for a request's transactional batches to be admitted, and
// calls then, which appends, before their transaction can end.
func (p *producing) inTransaction(req *kmsg.ProduceRequest, then func()) {
	p.txn = &admission{id: strings.Clone(*req.TransactionID), producer: txn.NoProducer()}
	asked := txn.ProduceRequest{Version: req.Version, ID: p.txn.id}
	p.txn.producer, asked.Partitions = p.transactional(req)
	asked.Producer = p.txn.producer
	end, err := p.b.txns.write(asked.ID, func(c *txn.Coordinator, now int64) (event *txn.Event) {
		if len(asked.Partitions) > 0 {
			p.txn.reply, event = c.DecideProduce(asked, now)
		}
		return event
	}, func(err error) {
		p.txn.err = err
		then()
	})
	if err == nil {
		p.end = max(p.end, end) // a refusal waits for what it comes from
	}
}

// join puts partitions into a transaction that the node writes to for its sake. What
// it decides is durable when the log is synced to end. It is called while the
// transaction cannot end.
func (t *transactions) join(a *admission, to []*partition.Partition) (end int64, err error) {
	asked := txn.ProduceRequest{Version: joining, ID: a.id, Producer: a.producer}
	for _, p := range to {
		asked.Partitions = append(asked.Partitions, p.Number())
	}
	var reply txn.ProduceReply
	end, err = t.decide(func(c *txn.Coordinator, now int64) (event *txn.Event) {
		reply, event = c.DecideProduce(asked, now)
		return event
	})
	if err == nil && reply.Code != code.None {
		err = refuse(reply.Code, "the topics that copies go to cannot be part of the transaction: %s", reply.Code)
	}
	return end, err
}

// joining is the version of requests that put their partitions into the transaction.
const joining = 12

// transactional finds the partitions with transactional batches, and the producer
// of the first. What is no valid batch is refused when it is its turn.
func (p *producing) transactional(req *kmsg.ProduceRequest) (from txn.Producer, numbers []uint32) {
	from = txn.NoProducer()
	for i := range req.Topics {
		t := p.b.topics.find(req.Topics[i].Topic, req.Topics[i].TopicID, req.Version >= 13)
		for j := range req.Topics[i].Partitions {
			asked := &req.Topics[i].Partitions[j]
			to, err := partitionOf(t, asked.Partition, req.Version >= 13)
			if err != nil {
				continue
			}
			h, err := batch.ReadHeader(asked.Records)
			if err != nil || !h.Attributes.Has(batch.Transactional) {
				continue
			}
			if len(numbers) == 0 {
				from = txn.Producer{ID: h.ProducerID, Epoch: h.ProducerEpoch}
			}
			numbers = append(numbers, to.Number())
		}
	}
	return from, numbers
}
