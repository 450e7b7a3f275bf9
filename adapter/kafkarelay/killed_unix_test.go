//go:build unix

package kafkarelay_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/adapter/kafkarelay"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// The steps at which a relay dies. Those of the protocol of Kafka are in the middle of a
// batch: records are written; the end of the transaction is asked for, and answered.
func steps() []string {
	return []string{"taken", "opened", "resumed", "sealed", "written", "asked", "answered", "published", "deleted"}
}

// mortal lets the process of a relay die at a step.
type mortal struct {
	relay.Source
	relay.Destination
	step       string
	publishing atomic.Bool
}

func (m *mortal) reached(step string) {
	if m.step == step {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func (of task) relay(ctx context.Context) error {
	b, err := of.Place.open(ctx)
	if err != nil {
		return err
	}
	m := &mortal{Source: b.Records(), step: of.Step}
	to, err := kafkarelay.New(kafkarelay.Options{}, append(connection(of.Broker), kgo.WithHooks(m))...)
	if err != nil {
		return err
	}
	m.Destination = to
	r, err := relay.New(m, m, relay.Options{Batch: few})
	if err != nil {
		return err
	}
	ctx, end := context.WithTimeout(ctx, patience)
	defer end()
	return fmt.Errorf("it did not die at %q: %w", of.Step, r.Run(ctx))
}

func (m *mortal) Take(ctx context.Context, h relay.Hold) (bool, error) {
	had, err := m.Source.Take(ctx, h)
	m.reached("taken")
	return had, err
}

func (m *mortal) Resume(ctx context.Context, h relay.Hold, published int64) (relay.Batch, error) {
	b, err := m.Source.Resume(ctx, h, published)
	m.reached("resumed")
	return b, err
}

func (m *mortal) Next(ctx context.Context, h relay.Hold, published relay.Batch, most relay.Size) (relay.Batch, error) {
	b, err := m.Source.Next(ctx, h, published, most)
	if len(b.Records) > 0 {
		m.reached("sealed")
	}
	if err == nil && len(published.Records) > 0 {
		m.reached("deleted")
	}
	return b, err
}

func (m *mortal) Open(ctx context.Context, s relay.Shard) (relay.Line, int64, error) {
	l, last, err := m.Destination.Open(ctx, s)
	m.reached("opened")
	return &mortalLine{l, m}, last, err
}

type mortalLine struct {
	relay.Line
	*mortal
}

func (l *mortalLine) Publish(ctx context.Context, b relay.Batch, alone bool) error {
	l.publishing.Store(true)
	err := l.Line.Publish(ctx, b, alone)
	l.reached("published")
	return err
}

// Keys of Kafka's requests.
const (
	produce = 0
	endTxn  = 26
)

var (
	_ kgo.HookBrokerWrite = (*mortal)(nil)
	_ kgo.HookBrokerRead  = (*mortal)(nil)
)

// OnBrokerWrite knows what was asked for. Other shards' fences are asked for too, and
// it is as well if the relay dies at one of them.
func (m *mortal) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == endTxn && m.publishing.Load() {
		m.reached("asked")
	}
}

func (m *mortal) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	switch {
	case key == produce && m.publishing.Load():
		m.reached("written")
	case key == endTxn && m.publishing.Load():
		m.reached("answered")
	}
}

// few is a batch that leaves something to do for all steps.
var few = relay.Size{Records: 3, Bytes: 1 << 20}

// TestKilled: a relay that is killed at any step publishes each record once, and those of an
// order key in their order (statement 44).
func TestKilled(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for name, at := range places(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, at(t))
			topic := n.topic(t, "killed-"+name, nil)
			const keys, rounds = 8, 12
			total := 0
			for _, step := range steps() {
				for range rounds {
					records := make([]outbox.Record, keys)
					for key := range keys {
						records[key] = outbox.Record{Topic: topic, OrderKey: fmt.Sprint("key ", key), Payload: fmt.Append(nil, total)}
					}
					b.put(t, records...)
					total++
				}
				died(t, task{Step: step, Broker: n.addr, Place: b.place}.command(t.Context(), t))
				b.free(t)
			}
			stop := b.run(t, n.addr, relay.Options{Batch: few})
			audit(t, n, topic, keys, total)
			b.drained(t)
			stop()
		})
	}
}

// audit reads a topic until each key has had so many records, and reports those that
// are missing, doubled or in another order.
func audit(t *testing.T, n *node, topic string, keys, each int) {
	t.Helper()
	ctx, end := context.WithTimeout(t.Context(), patience)
	defer end()
	next := map[string]int{}
	ids := map[string]bool{}
	r := n.reader(t, topic)
	for len(ids) < keys*each {
		fetches := r.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d records of %d came: %v", len(ids), keys*each, next)
		}
		for record := range fetches.RecordsAll() {
			check(t, next, ids, record)
		}
	}
	// Whatever was published twice would stand behind the last.
	for range 2 {
		last, end := context.WithTimeout(ctx, 150*time.Millisecond)
		for record := range r.PollFetches(last).RecordsAll() {
			check(t, next, ids, record)
		}
		end()
	}
}

func check(t *testing.T, next map[string]int, ids map[string]bool, record *kgo.Record) {
	t.Helper()
	key, id := string(record.Key), string(record.Headers[0].Value)
	if record.Headers[0].Key != "id" || ids[id] {
		t.Errorf("id %q came twice", id)
	}
	ids[id] = true
	if want := fmt.Sprint(next[key]); want != string(record.Value) {
		t.Errorf("%s: %s came, want %s", key, record.Value, want)
	}
	next[key]++
}

// drained waits until nothing is left in the outbox.
func (b *box) drained(t *testing.T) {
	t.Helper()
	b.until(t, func(p relay.Pending) bool { return p.Records == 0 })
}

func (b *box) until(t *testing.T, ok func(relay.Pending) bool) {
	t.Helper()
	ctx, end := context.WithTimeout(t.Context(), patience)
	defer end()
	for {
		p, err := b.Pending(ctx)
		if err != nil {
			t.Fatalf("wait for the outbox: %v", err)
		}
		if ok(p) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the outbox has %+v", p)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
