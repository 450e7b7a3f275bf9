package kafkaproducer_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/kafkaproducer"
)

func sortedCopy(of []string) []string { return slices.Sorted(slices.Values(of)) }

// TestS46MarkedAfterThePublish: an id is marked when the brokers have its record, and then
// it is not sent again; after any error it is.
func TestS46MarkedAfterThePublish(t *testing.T) {
	addr := serve(t)
	d := new(deafness)
	p := newProducer(t, newClient(t, addr, kgo.Dialer(d.dial), kgo.UnknownTopicRetries(0)), kafkaproducer.Options{ID: trade})
	once, err := kafkaproducer.NewOnce(p, newLedger(t), kafkaproducer.OnceOptions{Name: "trades", Lease: patience})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(ctx context.Context, key string, want hapax.Outcome, target error) {
		t.Helper()
		r, err := once.Publish(ctx, &kgo.Record{Topic: "trades", Key: []byte(key)})
		if r.Outcome != want || !errors.Is(err, target) {
			t.Fatalf("trade %s: %v, %v; want %v, %v", key, r.Outcome, err, want, target)
		}
	}
	publish(t.Context(), "wrong", hapax.Nameless, errTrade)
	publish(t.Context(), "1", hapax.Failed, kerr.UnknownTopicOrPartition)
	makeTopic(t, addr, "trades", nil)
	publish(t.Context(), "1", hapax.Executed, nil)
	publish(t.Context(), "1", hapax.Replayed, nil)

	d.arm()
	lost := d.lost
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-lost
		cancel()
	}()
	publish(ctx, "2", hapax.Failed, hapax.ErrUnknown)
	d.heal()
	publish(t.Context(), "2", hapax.Executed, nil)
	publish(t.Context(), "2", hapax.Replayed, nil)

	all, _ := records(t, addr, "trades")
	var ids []string
	for _, r := range all {
		ids = append(ids, idOf(r))
	}
	// Without a window both tries of the second are there, under one id.
	if want := []string{"trade-1", "trade-2", "trade-2"}; !slices.Equal(ids, want) {
		t.Errorf("ids %q, want %q", ids, want)
	}
}

// Two that publish one id: one does, and the other is told to wait.
func TestOnceIsHeld(t *testing.T) {
	addr := serve(t)
	makeTopic(t, addr, "trades", nil)
	d := new(deafness)
	l := newLedger(t)
	var all [2]*kafkaproducer.Once
	for i, more := range [][]kgo.Opt{{kgo.Dialer(d.dial)}, nil} {
		var err error
		all[i], err = kafkaproducer.NewOnce(newProducer(t, newClient(t, addr, more...), kafkaproducer.Options{ID: trade}), l,
			kafkaproducer.OnceOptions{Name: "trades", Lease: patience, Limits: hapax.Limits{Settle: time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
	}
	one := func() *kgo.Record { return &kgo.Record{Topic: "trades", Key: []byte("1")} }
	d.arm()
	lost, done := d.lost, make(chan hapax.Outcome)
	go func() {
		r, _ := all[0].Publish(t.Context(), one())
		done <- r.Outcome
	}()
	<-lost
	if r, err := all[1].Publish(t.Context(), one()); r.Outcome != hapax.Held || !errors.Is(err, hapax.ErrInFlight) {
		t.Errorf("the other one: %v, %v", r.Outcome, err)
	}
	d.heal()
	if o := <-done; o != hapax.Executed {
		t.Errorf("the first one: %v", o)
	}
}
