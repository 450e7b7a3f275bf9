package broker

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// alter changes settings of a topic; an empty value takes one away.
func (n *node) alter(topic string, settings map[string]string) {
	n.Helper()
	var change []kadm.AlterConfig
	for name, value := range settings {
		if value == "" {
			change = append(change, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name})
		} else {
			change = append(change, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
		}
	}
	resp, err := kadm.NewClient(n.client()).AlterTopicConfigs(n.Context(), change, topic)
	if err == nil {
		err = resp[0].Err
	}
	if err != nil {
		n.Fatal(err)
	}
}

// enforced waits until a topic's window is.
func (n *node) enforced(topic string) {
	n.Helper()
	for ctx, tick := n.Context(), time.NewTicker(5*time.Millisecond); ; {
		if t := n.broker.topics.named(topic); t.window != nil && t.window.enforced.Load() {
			return
		}
		select {
		case <-ctx.Done():
			n.Fatal("the window is not enforced")
		case <-tick.C:
		}
	}
}

// A window that is turned on for a topic knows what is there by the time that it is
// enforced: of committed and plain records, not of aborted ones, and of those of
// open transactions if they commit; over restarts and power losses in its midst.
func TestWindowWarms(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for seed := range int64(4) {
		r := rand.New(rand.NewSource(seed))
		disk := vfs.NewMem()
		n := startWith(t, func(o *Options) { o.FS = disk })
		n.makeTopic("orders", 3, nil)
		n.produceSome(ctx, n.client(), 0, 400)
		aborted := n.transaction(ctx, "aborts", 400, 500)
		if err := aborted.EndTransaction(ctx, kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
		late := n.transaction(ctx, "late", 500, 600) // open while the window warms
		n.produceSome(ctx, n.client(), 600, 700)
		n.alter("orders", map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000"})
		if seed%2 == 1 {
			crashed := disk.PowerLoss(r)
			if err := n.stop(); err != nil {
				t.Fatal(err)
			}
			disk = crashed
			n.start()
		}
		n.enforced("orders")
		if state := n.topicConfig("orders", "hapax.window.state"); !strings.HasPrefix(state.MaybeValue(), "enforced from ") {
			t.Errorf("seed %d: it is described as %q", seed, state.MaybeValue())
		}
		n.produceSome(ctx, n.client(), 0, 400)   // copies
		n.produceSome(ctx, n.client(), 400, 500) // of what was aborted
		n.produceSome(ctx, n.client(), 600, 700)
		if err := late.EndTransaction(ctx, kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		n.produceSome(ctx, n.client(), 500, 600)
		n.restart()
		n.produceSome(ctx, n.client(), 0, 700)
		ids := n.idsOf("orders", 3)
		for id := range 700 {
			if got := ids[fmt.Sprint(id)]; got != 1 {
				t.Errorf("seed %d: id %d is there %d times", seed, id, got)
			}
		}
	}
}

// transaction opens one that sends messages.
func (n *node) transaction(ctx context.Context, id string, from, to int) *kgo.Client {
	n.Helper()
	c := n.client(kgo.TransactionalID(id))
	if err := c.BeginTransaction(); err != nil {
		n.Fatal(err)
	}
	n.produceSome(ctx, c, from, to)
	return c
}

// produceSome sends messages with the ids from one up to another.
func (n *node) produceSome(ctx context.Context, c *kgo.Client, from, to int) {
	n.Helper()
	for id := from; id < to; id++ {
		c.Produce(ctx, message("orders", id), func(_ *kgo.Record, err error) {
			if err != nil {
				n.Errorf("produce: %v", err)
			}
		})
	}
	if err := c.Flush(ctx); err != nil {
		n.Fatal(err)
	}
}

// The times at which records were appended outlive that they are moved: a window that
// warms goes by them, and not by what producers say.
func TestWindowWarmsByAppendTimes(t *testing.T) {
	for _, policy := range []string{"delete", "compact", "copies"} {
		t.Run(policy, func(t *testing.T) {
			clock := newHandClock()
			n := startWith(t, func(o *Options) { o.Clock = clock.now })
			ctx := testContext(t)
			set := map[string]string{"cleanup.policy": policy, "segment.bytes": "14", "min.cleanable.dirty.ratio": "0.01"}
			if policy == "copies" {
				set = map[string]string{"hapax.identity": "header:of", "hapax.window.ms": "1"}
			}
			n.makeTopic("orders", 1, set)
			const ids = 100
			c := n.client()
			tx := n.client(kgo.TransactionalID("now and then")) // whose markers have no time
			send := func(id int) {
				t.Helper()
				r := message("orders", id)
				if id%10 == 0 {
					r.Key = []byte("compacted")
				}
				r.Timestamp = clock.now().Add(-30 * time.Minute)
				all := []*kgo.Record{r}
				if policy == "copies" { // of which one is left out
					for range 2 {
						of := kgo.RecordHeader{Key: "of", Value: []byte("all")}
						all = append(all, &kgo.Record{Topic: "orders", Headers: []kgo.RecordHeader{of}, Timestamp: r.Timestamp})
					}
				}
				produce := func() error { return c.ProduceSync(ctx, all...).FirstErr() }
				if policy == "delete" && id%10 == 5 {
					produce = func() error { return inTransaction(ctx, tx, all) }
				}
				if err := produce(); err != nil {
					t.Fatal(err)
				}
			}
			began := clock.now()
			for id := range ids {
				send(id)
				clock.pass(time.Second)
			}
			if policy != "copies" {
				n.restart()
				n.clean()
			}
			clock.pass(time.Minute)
			if counts := &n.broker.cleaner.counts; policy != "copies" && counts.regrouped.Load() == 0 && counts.compacted.Load() == 0 {
				t.Fatal("nothing was moved")
			}
			n.alter("orders", map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000", "cleanup.policy": "delete"})
			n.enforced("orders")
			for id := range ids {
				got := getJSON[IDView](n, idPath(fmt.Sprint(id)))
				switch {
				case got.Remembered:
				case policy == "compact" && id%10 == 0:
					continue
				default:
					t.Fatalf("id %d was forgotten", id)
				}
				want := began.Add(time.Duration(id) * time.Second)
				if d := got.Seen[0].Expires.Sub(want); d < time.Hour || d > time.Hour+time.Minute {
					t.Errorf("id %d expires %v after its append", id, d)
				}
			}
		})
	}
}

// inTransaction sends records in a transaction of their own.
func inTransaction(ctx context.Context, c *kgo.Client, records []*kgo.Record) error {
	err := c.BeginTransaction()
	if err == nil {
		err = c.ProduceSync(ctx, records...).FirstErr()
	}
	return errors.Join(err, c.EndTransaction(ctx, kgo.TryCommit))
}

// What is left of a transaction's batch, in which it was late with an id, was appended
// when the batch was, though nothing came before it and its producer says that it is old.
func TestWindowWarmsByAppendTimesOfLateTransactions(t *testing.T) {
	clock := newHandClock()
	n := startWith(t, func(o *Options) { o.Clock = clock.now })
	ctx := testContext(t)
	n.makeTopic("copies", 1, nil)
	n.makeTopic("orders", 2, map[string]string{"hapax.identity": "header:of", "hapax.window.ms": "3600000", "hapax.duplicates": "topic:copies"})
	send := func(c *kgo.Client, partition int32, ids ...string) {
		t.Helper()
		var all []*kgo.Record
		for _, id := range ids {
			headers := []kgo.RecordHeader{{Key: "id", Value: []byte(id)}, {Key: "of", Value: []byte(id[:1])}}
			all = append(all, &kgo.Record{Topic: "orders", Partition: partition, Headers: headers, Timestamp: clock.now().Add(-240 * time.Hour)})
		}
		if err := c.ProduceSync(ctx, all...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	manual := kgo.RecordPartitioner(kgo.ManualPartitioner())
	late := n.client(manual, kgo.TransactionalID("late"))
	if err := late.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	began := clock.now()
	send(late, 0, "a", "b")
	send(n.client(manual), 1, "a of another")
	clock.pass(time.Second)
	if err := late.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	ended := clock.now()
	n.restart()
	clock.pass(time.Minute)
	set := map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000"}
	n.alter("orders", set)
	n.enforced("orders")
	n.alter("orders", map[string]string{"hapax.duplicates": ""})
	n.alter("copies", set)
	n.enforced("copies")
	for path, appended := range map[string]time.Time{"/api/v1/topics/orders/ids/b": began, "/api/v1/topics/copies/ids/a": ended} {
		got := getJSON[IDView](n, path)
		if !got.Remembered {
			t.Errorf("%s was forgotten", path)
		} else if d := got.Seen[0].Expires.Sub(appended); d < time.Hour || d > time.Hour+time.Minute {
			t.Errorf("%s expires %v after its append", path, d)
		}
	}
}
