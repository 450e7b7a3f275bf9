package kafkarelay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/outbox/relay"
)

// line is a [relay.Line]: a client for each transactional id of a shard. Batches take them in
// turns, for a broker refuses what comes under an id until the markers of its last transaction are
// written.
type line struct {
	clients  [2]*kgo.Client
	o        Options
	shard    relay.Shard
	progress string // the topic
	close    sync.Once
}

// Publish is one transaction. It is aborted if the batch was not sealed. After any other error nothing ends it
// but the fence of the next line, by which it is certain how it ended.
func (l *line) Publish(ctx context.Context, b relay.Batch, alone bool, sealed func() error) error {
	// What a broker may have got, a client waits for whatever its context says.
	unbind := context.AfterFunc(ctx, l.Close)
	defer unbind()
	if err := l.publish(ctx, b, alone, sealed); err != nil {
		return fmt.Errorf("kafka relay: publish batch %d of shard %d: %w", b.Number, l.shard.Number, err)
	}
	return nil
}

func (l *line) publish(ctx context.Context, b relay.Batch, alone bool, sealed func() error) error {
	client := l.clients[b.Number%2]
	if err := client.BeginTransaction(); err != nil {
		return err
	}
	records := make([]*kgo.Record, len(b.Records), len(b.Records)+1)
	for i := range b.Records {
		if b.Records[i].Topic == l.progress {
			return &relay.RefusedError{Faults: map[int64]string{b.Records[i].Position: "the topic is that of the relays' progress"}, Certain: true}
		}
		records[i] = record(&b.Records[i], l.o.IDHeader)
	}
	done := &kgo.Record{
		Topic: l.progress, Partition: partition(l.shard),
		Key: []byte(l.shard.Name), Value: strconv.AppendInt(nil, b.Number, 10),
	}
	var results kgo.ProduceResults
	if alone {
		for _, r := range append(records, done) {
			results = append(results, client.ProduceSync(ctx, r)...)
			if results[len(results)-1].Err != nil {
				break
			}
		}
	} else {
		results = client.ProduceSync(ctx, append(records, done)...)
	}
	if err := results.FirstErr(); err != nil {
		return l.refused(b, records, results, alone, err)
	}
	if err := sealed(); err != nil {
		// Who reads committed is not to wait for the next line, which may have no database to begin with.
		return errors.Join(err, client.EndTransaction(ctx, kgo.TryAbort))
	}
	return client.EndTransaction(ctx, kgo.TryCommit)
}

// record is a record as Kafka has it.
func record(r *relay.Record, idHeader string) *kgo.Record {
	out := &kgo.Record{Topic: r.Topic, Value: r.Payload, Headers: make([]kgo.RecordHeader, 0, 1+len(r.Headers))}
	if r.OrderKey != "" {
		out.Key = []byte(r.OrderKey)
	}
	out.Headers = append(out.Headers, kgo.RecordHeader{Key: idHeader, Value: []byte(r.ID)})
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
	}
	return out
}

// refused finds what was refused for good. Of records that were sent together, in one
// batch of Kafka's, it may be any that was, but for what is wrong with the topic.
func (l *line) refused(b relay.Batch, records []*kgo.Record, results kgo.ProduceResults, alone bool, first error) error {
	certain, suspect := map[int64]string{}, map[int64]string{}
	for _, result := range results {
		if result.Err == nil || result.Record.Topic == l.progress {
			continue
		}
		at := slices.Index(records, result.Record)
		switch position := b.Records[at].Position; {
		case errors.Is(result.Err, kerr.UnknownTopicOrPartition):
			certain[position] = strings.TrimSuffix(result.Err.Error(), ".") + ": make topic " + result.Record.Topic
		case isAny(result.Err, ofTopics()):
			certain[position] = result.Err.Error()
		case isAny(result.Err, ofRecords()) && alone:
			certain[position] = result.Err.Error()
		case isAny(result.Err, ofRecords()):
			suspect[position] = result.Err.Error()
		}
	}
	switch {
	case len(certain) > 0:
		return &relay.RefusedError{Faults: certain, Certain: true}
	case len(suspect) > 0:
		return &relay.RefusedError{Faults: suspect, Certain: len(b.Records) == 1}
	}
	return first
}

// ofTopics are the refusals of all that goes to a topic.
func ofTopics() []error {
	return []error{kerr.UnknownTopicOrPartition, kerr.InvalidTopicException, kerr.TopicAuthorizationFailed}
}

// ofRecords are those of a record, or of one that was sent with it.
func ofRecords() []error {
	return []error{
		kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.PolicyViolation,
		kerr.UnsupportedForMessageFormat, kerr.UnsupportedCompressionType,
	}
}

func isAny(err error, targets []error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// Close is the method of [relay.Line]. A transaction that is open stays so until the next
// line, or until its time is over.
func (l *line) Close() {
	l.close.Do(func() {
		for _, c := range l.clients {
			if c != nil {
				c.Close()
			}
		}
	})
}
