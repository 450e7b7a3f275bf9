package kafkaproducer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
)

// OnceOptions are those of [Once]. Name is required.
type OnceOptions struct {
	Name string // of what is published, and stored with every id: under another one all is new
	// Lease is how long an id is taken after its producer has died in the middle (default:
	// 30 s).
	Lease  time.Duration
	Limits hapax.Limits // of claims in time
}

// Once leaves out what a ledger knows as published, and marks what is: after the brokers
// have confirmed it, never before. It is for producers that go over the same things again
// and keep no mark of their own, such as who reads files. Between confirmation and mark a
// process can die: the record comes again then, with the same id.
type Once struct {
	p      *Producer
	ledger hapax.Ledger
	o      OnceOptions
}

// NewOnce makes a decorator of p. The ledger stays the caller's; its window is how long ids
// are known.
func NewOnce(p *Producer, l hapax.Ledger, o OnceOptions) (*Once, error) {
	if o.Lease == 0 {
		o.Lease = 30 * time.Second
	}
	switch {
	case p == nil || l == nil:
		return nil, errors.New("kafka producer: want a producer and a ledger")
	case o.Name == "":
		return nil, errors.New("kafka producer: name is empty: it is the scope of the ids")
	}
	if err := o.Limits.Validate(o.Lease); err != nil {
		return nil, fmt.Errorf("kafka producer: %w", err)
	}
	return &Once{p, l, o}, nil
}

// Publish is [Producer.Publish] of one record, unless its id is known for its topic. The
// outcome is Executed if it was published and marked, Replayed if it was before, Held while
// somebody else publishes it or died of it, Failed with the error of Publish, and nothing is
// marked, Lost or Doubtful if it was published and may not be marked, and Unanswered if the
// ledger can't be asked, and nothing was sent. It need only be called again, with the
// same record, after all but the first two.
func (o *Once) Publish(ctx context.Context, r *kgo.Record) (hapax.Result, error) {
	id, err := o.p.Identify(ctx, "", r)
	if err != nil {
		return hapax.Result{Outcome: hapax.Nameless}, err
	}
	asked := hapax.Request{
		Scope:    hapax.Scope(identity.AppendShared(nil, hapax.Scope("kafka "+o.o.Name), hapax.Identity(r.Topic))),
		Identity: hapax.Identity(id), Lease: o.o.Lease,
	}
	return o.o.Limits.Do(ctx, o.ledger, asked, func(ctx context.Context, _ hapax.Claim) (hapax.Receipt, error) {
		return nil, o.p.Publish(ctx, r)
	})
}
