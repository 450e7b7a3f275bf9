package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
)

// Produce (0), versions 3 to 13: appends a batch to each of some partitions. It is
// answered when all of them are durable, whatever acks says; with acks 0 it is not
// answered at all: its connection is closed if it cannot be done, so that the client
// asks where it can.
//
//	5   log start offset
//	8   errors by record, messages
//	9   flexible
//	10  where the leader is now, if not here
//	12  a transaction takes the partition in by itself (KIP-890)
//	13  topic ids
//
// Versions 0 to 2 are announced and not served: their message formats are gone
// (KIP-896), but librdkafka before 2.11 takes their absence for a broker that
// cannot decompress.
func (c *conn) produce(_ context.Context, req *kmsg.ProduceRequest) answer {
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	p := producing{b: c.b, acks: req.Acks, now: c.b.clock()}
	p.prepareAll(req)
	if req.TransactionID == nil {
		p.appendAll(req, resp)
	} else {
		p.inTransaction(req, func() { p.appendAll(req, resp) })
	}
	p.batches = nil // the answer may wait for long, and they are the request's
	if req.Acks == 0 {
		resp = nil
	}
	return p.answer(resp)
}

// producing is one request as it is carried out.
type producing struct {
	b    *Broker
	acks int16
	now  int64 // when it came, Unix ms
	end  int64 // of the log: what the answer waits for
	txn  *admission

	refused error // the first batch that was

	batches []prepared // in the request's order
	recoded int        // bytes of those that were compressed anew
}

func (p *producing) appendAll(req *kmsg.ProduceRequest, resp *kmsg.ProduceResponse) {
	next := p.batches
	for i := range req.Topics {
		asked := &req.Topics[i]
		done := kmsg.NewProduceResponseTopic()
		done.Topic, done.TopicID = strings.Clone(asked.Topic), asked.TopicID
		for j := range asked.Partitions {
			done.Partitions = append(done.Partitions, p.append(asked.Partitions[j].Partition, &next[0]))
			next = next[1:]
		}
		resp.Topics = append(resp.Topics, done)
	}
}

func (p *producing) append(number int32, b *prepared) kmsg.ProduceResponseTopicPartition {
	done := kmsg.NewProduceResponseTopicPartition()
	done.Partition = number
	appended, err := p.appendTo(b)
	if b.sieve != nil {
		b.sieve.settle()
		p.b.windows.readers.put(b.sieve.ids)
	}
	p.b.counters.produced(&b.header, appended.Repeat, err)
	if err != nil {
		p.refused = cmp.Or(p.refused, err)
		done.ErrorCode, done.BaseOffset = int16(codeOf(err)), -1
		done.ErrorMessage, done.ErrorRecords = messageOf(err), wrongRecordsOf(err)
		return done
	}
	p.end = max(p.end, appended.LogEnd)
	done.BaseOffset, done.LogStartOffset = appended.Base, appended.Start
	if b.header.Attributes.Has(batch.AppendTime) {
		done.LogAppendTime = appended.Time
	}
	return done
}

func (p *producing) appendTo(b *prepared) (a partition.Appended, err error) {
	if b.err != nil {
		return a, b.err
	}
	if b.header.Attributes.Has(batch.Transactional) {
		if err := p.txn.admits(b.to.Number(), b.header.ProducerID, b.header.ProducerEpoch); err != nil {
			return a, err
		}
	}
	for {
		a, err = p.appendOnce(b)
		if !errors.Is(err, errAgain) {
			return a, err
		}
		if err := p.provide(b.sieve); err != nil {
			return a, err
		}
	}
}

func (p *producing) appendOnce(b *prepared) (partition.Appended, error) {
	if p.txn == nil {
		p.b.log.Begin()
		defer p.b.log.End()
	}
	return b.to.Append(b.bytes, b.header, p.b.time.now, b.gate())
}

// provide gets what a sieve lacks. It waits for the disk, while nobody waits for it.
func (p *producing) provide(s *sieve) error {
	if !s.joins {
		return s.provide()
	}
	s.joined = true
	end, err := p.b.txns.join(p.txn, targets(s.routes))
	p.end = max(p.end, end)
	return err
}

// answer is sent when the batches are durable. If they cannot be, none is
// acknowledged.
func (p *producing) answer(resp *kmsg.ProduceResponse) answer {
	if resp == nil {
		return p.silence()
	}
	if p.end == 0 { // nothing was appended
		return ready(resp)
	}
	return answer{response: resp, soon: true, wait: func(context.Context) error {
		if err := p.b.wal.Sync(p.end); err != nil {
			failProduce(resp, err)
		}
		return nil
	}}
}

// silence is the answer to acks 0.
func (p *producing) silence() answer {
	if p.end > 0 {
		p.b.wal.Want(p.end)
	}
	if p.refused == nil {
		return answer{}
	}
	return answer{wait: func(context.Context) error { return fmt.Errorf("produce with acks=0: %w", p.refused) }}
}

func failProduce(resp *kmsg.ProduceResponse, err error) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			d := &resp.Topics[i].Partitions[j]
			if d.ErrorCode == 0 {
				d.ErrorCode, d.BaseOffset, d.ErrorMessage = int16(code.KafkaStorageError), -1, messageOf(err)
				d.LogAppendTime = -1
			}
		}
	}
}
