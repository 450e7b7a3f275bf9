package kafkaproducer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/outbox"
)

// Options are those of a [Producer]. The zero value is good.
type Options struct {
	// Header is the header that has a record's id (default: "id").
	Header string
	// ID is a record's natural id, or empty if it has none. It must be the same for the same
	// thing, whenever it is asked, and no other thing's. The record is not to be changed. An
	// error ends Publish, and nothing is sent.
	ID func(*kgo.Record) (string, error)
	// Timeout is how long Publish tries at most (default: 2 min, as delivery.timeout.ms of
	// Java's clients).
	Timeout time.Duration
}

// ErrStep says that a record has no id of its own, and no name among those that one run of
// a handler sends: call [Producer.Identify].
var ErrStep = errors.New("a record that a handler sends needs a step: give it one by Identify")

// Producer publishes records with ids. Its methods may be called from several goroutines
// at once.
type Producer struct {
	client *kgo.Client
	o      Options
	counts counts
}

// New makes a producer on a client, which stays the caller's and can be used beside it. It
// must wait for all replicas (its default), for an answer is what counts as published.
func New(client *kgo.Client, o Options) (*Producer, error) {
	if client == nil {
		return nil, errors.New("kafka producer: want a client")
	}
	if acks, ok := client.OptValue(kgo.RequiredAcks).(kgo.Acks); !ok || acks != kgo.AllISRAcks() {
		return nil, errors.New("kafka producer: want a client with kgo.RequiredAcks(kgo.AllISRAcks())")
	}
	if id, ok := client.OptValue(kgo.TransactionalID).(string); ok && id != "" {
		return nil, errors.New("kafka producer: want a client without transactions: what one publishes, its end says")
	}
	if o.Header == "" {
		o.Header = "id"
	}
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("kafka producer: timeout of %v: want one above zero", o.Timeout)
	}
	return &Producer{client: client, o: o}, nil
}

// Identify gives r an id in its headers, unless it has one, and returns it: to be stored
// before [Producer.Publish], or to send what a handler sends. ctx is the handler's, and step
// names r among the records of one run, such as by its topic and a number of its line; it
// must not depend on time or chance. Outside of handlers it is not read.
//
// The error is [ErrStep] where a step is needed and empty, or what [Options].ID said, or
// that the id is no UTF-8, has control characters or more than 255 bytes.
func (p *Producer) Identify(ctx context.Context, step string, r *kgo.Record) (id string, err error) {
	had := false
	for _, h := range r.Headers {
		if h.Key == p.o.Header {
			id, had = string(h.Value), true
			break // as readers take the first
		}
	}
	if !had {
		if id, err = p.idOf(ctx, step, r); err != nil {
			return "", fmt.Errorf("kafka producer: name the record: %w", err)
		}
	}
	if id == "" {
		return "", fmt.Errorf("kafka producer: name the record: %w: header %q is empty", hapax.ErrMissing, p.o.Header)
	}
	if err := (&outbox.Record{Topic: "any", ID: id}).Validate(); err != nil {
		return "", fmt.Errorf("kafka producer: name the record: %w: %w", hapax.ErrMalformed, err)
	}
	if !had {
		r.Headers = append(r.Headers[:len(r.Headers):len(r.Headers)], kgo.RecordHeader{Key: p.o.Header, Value: []byte(id)})
	}
	return id, nil
}

// idOf is the id of a record without one.
func (p *Producer) idOf(ctx context.Context, step string, r *kgo.Record) (string, error) {
	if p.o.ID != nil {
		if id, err := p.o.ID(r); id != "" || err != nil {
			return id, err
		}
	}
	for _, childID := range []func(context.Context, string) string{inbox.ChildID, httpkey.ChildID} {
		id := childID(ctx, step)
		if id != "" && step == "" {
			return "", ErrStep
		}
		if id != "" {
			return id, nil
		}
	}
	return outbox.NewID(), nil
}
