package broker

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
)

// prepared is a batch as it is to be appended, or why it is not.
type prepared struct {
	to     *partition.Partition
	bytes  []byte
	header batch.Header // with batch.AppendTime if it is to get one
	sieve  *sieve       // of a topic with a window
	err    error
}

// gate is the batch's, if it has one.
func (b *prepared) gate() partition.Gate {
	if b.sieve == nil {
		return nil
	}
	return b.sieve
}

// prepareAll does what takes long before anything is locked.
func (p *producing) prepareAll(req *kmsg.ProduceRequest) {
	byID := req.Version >= 13
	for i := range req.Topics {
		asked := &req.Topics[i]
		t := p.b.topics.find(asked.Topic, asked.TopicID, byID)
		for j := range asked.Partitions {
			b, err := p.prepare(t, &asked.Partitions[j], byID)
			b.err = err
			p.batches = append(p.batches, b)
		}
	}
}

// prepare checks a batch, and makes it what its topic's settings want it to be.
func (p *producing) prepare(t *topic, asked *kmsg.ProduceRequestTopicPartition, byID bool) (b prepared, err error) {
	if p.acks < -1 || p.acks > 1 {
		return b, refuse(code.InvalidRequiredAcks, "acks %d", p.acks)
	}
	if b.to, err = partitionOf(t, asked.Partition, byID); err != nil {
		return b, err
	}
	if err := t.fits(len(asked.Records)); err != nil {
		return b, err
	}
	b.bytes = asked.Records
	if b.header, err = batch.Validate(b.bytes); err != nil {
		return b, err
	}
	if t.rules.compact {
		if err := p.checkKeys(t, &b); err != nil {
			return b, err
		}
	}
	if !t.rules.appendTime {
		if err := p.checkTimes(&t.rules, &b); err != nil {
			return b, err
		}
	}
	if t.rules.recode && t.rules.codec != b.header.Attributes.Codec() {
		if err := p.recode(t, &b); err != nil {
			return b, err
		}
	}
	if t.window != nil {
		if b.sieve, err = p.b.windows.sieve(t, asked.Partition, &b); err != nil {
			return b, err
		}
	}
	if t.rules.appendTime {
		b.header.Attributes |= batch.AppendTime
	}
	return b, nil
}

// fits refuses a batch that is too large for the topic.
func (t *topic) fits(size int) error {
	if most := t.rules.maxBatch; size > most {
		return refuse(code.MessageTooLarge, "a batch of %d bytes, and max.message.bytes of topic %q allows %d", size, t.name, most)
	}
	return nil
}

// recode compresses a batch anew. What becomes of all batches of a request may be
// as large as a request.
func (p *producing) recode(t *topic, b *prepared) error {
	r := p.b.recoders.take()
	defer p.b.recoders.put(r)
	recoded, err := r.Append(nil, b.bytes, t.rules.codec)
	if err != nil {
		return fmt.Errorf("compress a batch by %v: %w", t.rules.codec, err)
	}
	if err := t.fits(len(recoded)); err != nil {
		return err
	}
	if p.recoded += len(recoded); p.recoded > p.b.settings.maxRequest {
		return refuse(code.MessageTooLarge, "the request's batches, compressed by %v, exceed %d bytes: send fewer at once", t.rules.codec, p.b.settings.maxRequest)
	}
	b.bytes = recoded
	b.header, err = batch.ReadHeader(recoded)
	return err
}

// mostWrong is how many records of one batch a client is told of.
const mostWrong = 1000

// checkKeys refuses a batch for a compacted topic that has records without keys.
func (p *producing) checkKeys(t *topic, b *prepared) error {
	reader := p.b.recoders.take()
	defer p.b.recoders.put(reader)
	var wrong []kmsg.ProduceResponseTopicPartitionErrorRecord
	for record, err := range reader.Records(b.bytes) {
		if err != nil {
			return fmt.Errorf("read the keys of a batch: %w", err)
		}
		if record.Key != nil {
			continue
		}
		if len(wrong) == mostWrong {
			break
		}
		e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		message := "no key"
		e.RelativeOffset, e.ErrorMessage = record.OffsetDelta, &message
		wrong = append(wrong, e)
	}
	if len(wrong) == 0 {
		return nil
	}
	return &recordsError{records: wrong, error: refuse(code.InvalidRecord,
		"a batch with records without keys, and topic %q is compacted, which keeps the last record of each key: cleanup.policy=compact", t.name)}
}

// checkTimes refuses a batch that has records whose times are out of bounds. It is
// not read for that if times may lie back to 1970, and its header has the newest.
// Records without a time are none of those.
func (p *producing) checkTimes(r *topicRules, b *prepared) error {
	earliest, latest := p.now-r.before, p.now+min(r.after, math.MaxInt64-p.now)
	if earliest <= 0 && b.header.Newest() <= latest {
		return nil
	}
	reader := p.b.recoders.take()
	defer p.b.recoders.put(reader)
	var wrong []kmsg.ProduceResponseTopicPartitionErrorRecord
	for record, err := range reader.Records(b.bytes) {
		if err != nil {
			return fmt.Errorf("read the times of a batch: %w", err)
		}
		at := b.header.BaseTimestamp + record.TimestampDelta
		if at == batch.None || at >= earliest && at <= latest {
			continue
		}
		if len(wrong) == mostWrong {
			break
		}
		e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		message := fmt.Sprintf("time %d ms, want %d to %d", at, earliest, latest)
		e.RelativeOffset, e.ErrorMessage = record.OffsetDelta, &message
		wrong = append(wrong, e)
	}
	if len(wrong) == 0 && b.header.Newest() <= latest {
		return nil
	}
	return &recordsError{records: wrong, error: refuse(code.InvalidTimestamp,
		"a batch with times up to %d ms, and the topic allows %d to %d: message.timestamp.before.max.ms=%d, message.timestamp.after.max.ms=%d",
		b.header.Newest(), earliest, latest, r.before, r.after)}
}

// recordsError is a batch with records that a topic does not take.
type recordsError struct {
	error
	records []kmsg.ProduceResponseTopicPartitionErrorRecord // those with them
}

// Unwrap makes errors.Is find the code.
func (u *recordsError) Unwrap() error { return u.error }

// wrongRecordsOf are the records that an error is about.
func wrongRecordsOf(err error) []kmsg.ProduceResponseTopicPartitionErrorRecord {
	if u, ok := errors.AsType[*recordsError](err); ok {
		return u.records
	}
	return nil
}

// pool keeps things whose zero value is ready from one use to another.
type pool[T any] struct{ free sync.Pool } // of *T

func (p *pool[T]) take() *T {
	if t, ok := p.free.Get().(*T); ok {
		return t
	}
	return new(T)
}

func (p *pool[T]) put(t *T) { p.free.Put(t) }
