package kafkaproducer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
)

// How long Publish waits after a try that failed.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// RecordError says that a record is not known to be published. It wraps
// [hapax.ErrUnknown] where it may be, and else what the brokers refused it with.
type RecordError struct {
	Record *kgo.Record // the caller's
	ID     string
	Err    error
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("kafka producer: publish record %q to topic %q: %v", e.ID, e.Record.Topic, e.Err)
}

func (e *RecordError) Unwrap() error { return e.Err }

// Publish returns nil when the brokers hold all records, each as durable as its topic
// promises. It gives an id to those without one, and sends those that were not answered for
// again, with the same ids, until ctx ends or [Options].Timeout is over. Records of one
// partition keep their order; copies of those that were sent again may stand behind.
//
// The error is that of [Producer.Identify], with nothing sent, or all [*RecordError]s,
// joined: the other records are published. Of records that went in one batch a broker
// refuses all, whichever it is that it does not want.
//
// When it has returned, the records are the caller's, those that are published with their
// partition, offset and time, and can be given to it again. After [hapax.ErrUnknown] the client may still
// be sending them: their keys, values and headers must not be written over.
func (p *Producer) Publish(ctx context.Context, records ...*kgo.Record) error {
	anywhere, _ := p.client.OptValue(kgo.DefaultProduceTopic).(string)
	failed := make([]*RecordError, len(records))
	for i, r := range records {
		if r.Topic == "" && anywhere == "" {
			return errors.New("kafka producer: publish a record: it has no topic")
		}
		id, err := p.Identify(ctx, "", r)
		if err != nil {
			return err
		}
		failed[i] = &RecordError{r, id, nil}
	}
	ctx, end := context.WithTimeout(ctx, p.o.Timeout)
	defer end()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		failed = p.send(ctx, failed)
		if !slices.ContainsFunc(failed, again) {
			break
		}
		select {
		case <-time.After(pause):
			continue
		case <-ctx.Done():
		}
		break
	}
	var all []error
	for _, e := range failed {
		p.counts.gaveUp(e)
		all = append(all, e)
	}
	return errors.Join(all...)
}

// again tells whether another try may end better.
func again(e *RecordError) bool {
	return errors.Is(e.Err, hapax.ErrUnknown) && !errors.Is(e.Err, kgo.ErrClientClosed) && !errors.Is(e.Err, kgo.ErrAborting)
}

// answer is what became of the copy of a record.
type answer struct {
	of     int
	copied *kgo.Record
	err    error
}

// send sends those records again that it makes sense for, and returns what is not known to
// be published then.
func (p *Producer) send(ctx context.Context, records []*RecordError) (failed []*RecordError) {
	answers := make(chan answer, len(records)) // the client may answer when nobody waits any more
	waiting := 0
	for i, e := range records {
		if e.Err != nil && !again(e) {
			continue
		}
		if e.Err != nil {
			p.counts.again.Add(1)
		}
		waiting++
		r := e.Record // its own copy, for the client may keep it after ctx has ended
		copied := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}
		e.Err = fmt.Errorf("%w: nobody has answered", hapax.ErrUnknown)
		p.client.Produce(ctx, copied, func(copied *kgo.Record, err error) { answers <- answer{i, copied, err} })
	}
	for ; waiting > 0; waiting-- {
		a, ok := next(ctx, answers)
		if !ok {
			break
		}
		e := records[a.of]
		e.Err = outcome(a.err)
		if a.err == nil {
			p.counts.published.Add(1)
			r := e.Record
			r.Topic, r.Partition, r.Offset, r.Timestamp = a.copied.Topic, a.copied.Partition, a.copied.Offset, a.copied.Timestamp
		}
	}
	for _, e := range records {
		if e.Err != nil {
			failed = append(failed, e)
		}
	}
	return failed
}

// next waits for an answer. Those that are there count also when ctx has ended.
func next(ctx context.Context, answers <-chan answer) (a answer, ok bool) {
	select {
	case a = <-answers:
		return a, true
	case <-ctx.Done():
	}
	select {
	case a = <-answers:
		return a, true
	default:
		return a, false
	}
}

// outcome is what an error of the client says of a record: that it was refused, or that
// nobody knows.
func outcome(err error) error {
	if err == nil || slices.ContainsFunc(refusals(), func(target error) bool { return errors.Is(err, target) }) {
		return err
	}
	return fmt.Errorf("%w: %w", hapax.ErrUnknown, err)
}

// refusals are the errors after which a record is not there, and would not be after
// another try.
func refusals() []error {
	return []error{
		kerr.UnknownTopicOrPartition, kerr.InvalidTopicException, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed,
		kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.PolicyViolation,
		kerr.UnsupportedForMessageFormat, kerr.UnsupportedCompressionType,
	}
}
