package broker

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Readers see each record where it ever was, while records are moved under them and
// files go.
func TestReadersWhileRecordsMove(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 1)
	value := func(offset int64) string { return fmt.Sprint(offset, strings.Repeat(" x", int(offset%50))) }
	c := n.client(kgo.DefaultProduceTopic("orders"))
	written := int64(0)
	more := func() {
		for range 40 {
			if err := c.ProduceSync(ctx, kgo.StringRecord(value(written))).FirstErr(); err != nil {
				t.Fatal(err)
			}
			written++
		}
	}
	more()
	n.restart()
	var reading sync.WaitGroup
	var over atomic.Bool
	var rounds atomic.Int64
	for range 2 {
		reading.Go(func() {
			for !over.Load() {
				c := n.client(kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxPartitionBytes(500))
				for at := int64(0); at < 40; {
					fetches := c.PollFetches(ctx)
					if err := fetches.Err(); err != nil {
						t.Error(err)
						over.Store(true)
						return
					}
					fetches.EachRecord(func(r *kgo.Record) {
						if r.Offset != at || string(r.Value) != value(at) {
							t.Errorf("offset %d: %q, want %d: %q", r.Offset, r.Value, at, value(at))
							over.Store(true)
						}
						at++
					})
				}
				c.Close()
				rounds.Add(1)
			}
		})
	}
	p := n.broker.topics.named("orders").partitions[0]
	for begun := n.broker.wal.Newest(); n.broker.wal.Newest() == begun || rounds.Load() < 4; {
		more()
		n.clean()
		n.broker.wal.Trim(0)
	}
	over.Store(true)
	reading.Wait()
	all := committedOf(t, n.broker, p)
	for offset := range written {
		if got, want := all[offset], "="+value(offset); got != want {
			t.Fatalf("offset %d: %q, want %q", offset, got, want)
		}
	}
}

// A file of which little is left is emptied, and goes.
func TestDeadFilesGo(t *testing.T) {
	n, ctx := start(t), testContext(t)
	c := n.client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	for i := range 10 {
		for _, topic := range []string{"gone", "kept"} {
			size := 20_000
			if topic == "gone" {
				size = 200_000
			}
			r := &kgo.Record{Topic: topic, Value: []byte(strings.Repeat(fmt.Sprint(i), size))}
			if err := c.ProduceSync(ctx, r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.restart()
	p := n.broker.topics.named("kept").partitions[0]
	before := committedOf(t, n.broker, p)
	if _, err := n.admin().DeleteTopic(ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	n.clean()
	if n.broker.cleaner.counts.reclaimed.Load() < 200_000 || len(n.broker.needed()) != 1 {
		t.Errorf("%d bytes were moved, and %v is needed", n.broker.cleaner.counts.reclaimed.Load(), n.broker.needed())
	}
	check := func(b *Broker) {
		t.Helper()
		after := committedOf(t, b, b.topics.named("kept").partitions[0])
		for offset, text := range before {
			if after[offset] != text || len(after) != len(before) {
				t.Errorf("%d records: offset %d has %d bytes, want %d", len(after), offset, len(after[offset]), len(text))
			}
		}
	}
	check(n.broker)
	n.restart()
	check(n.broker)
	if len(n.broker.wal.Older()) != 1 {
		t.Errorf("%v are there still", n.broker.wal.Older())
	}
}
