//go:build unix

package relaytest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// PutLate puts two records of one order key: "late", in a transaction that the function
// commits, and then "early", which is committed.
func (b *Box) PutLate(t *testing.T, topic string) (commit func()) {
	t.Helper()
	late, err := b.DB.BeginTx(t.Context(), nil)
	if err == nil {
		err = b.Out.Put(t.Context(), late, outbox.Record{Topic: topic, OrderKey: "k", Payload: []byte("late")})
	}
	if err != nil {
		t.Fatal(err)
	}
	b.Put(t, outbox.Record{Topic: topic, OrderKey: "k", Payload: []byte("early")})
	return func() {
		t.Helper()
		if err := late.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

// TwoRelays has two relays share the shards, each to a destination of its own, while writers put
// and the server is restarted. When all is written the first relay ends; the function ends the
// second.
func (b *Box) TwoRelays(t *testing.T, topic string, keys, each int, to func() relay.Destination, restart func()) (stop func()) {
	t.Helper()
	o := relay.Options{Batch: Few(), Lease: time.Second, MaxPause: 100 * time.Millisecond}
	first, second := b.Run(t, to(), o), b.Run(t, to(), o)
	written := b.Write(t, topic, keys, each)
	restart()
	written()
	first()
	return second
}

// Unsealed puts records and runs a relay whose source can't keep a seal, until it has failed. Nothing must
// have been published then.
func (b *Box) Unsealed(t *testing.T, topic string, to relay.Destination) {
	t.Helper()
	b.PutRounds(t, topic, 2, 0, 2)
	from := &unsealed{Source: b.Records(), failed: make(chan struct{})}
	stop := Run(t, from, to, relay.Options{MaxPause: 100 * time.Millisecond})
	from.failed <- struct{}{}
	close(from.failed)
	stop()
}

// unsealed is a source that can't keep a seal.
type unsealed struct {
	relay.Source

	failed chan struct{}
}

func (u *unsealed) Sealed(ctx context.Context, _ relay.Hold, _ relay.Batch) error {
	select {
	case <-u.failed:
	case <-ctx.Done():
	}
	return errors.New("the disk is full")
}
