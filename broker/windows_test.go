package broker

import (
	"context"
	"fmt"
	"math/rand"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// makeTopic makes a topic with settings.
func (n *node) makeTopic(name string, partitions int32, settings map[string]string) {
	n.Helper()
	set := make(map[string]*string)
	for k, v := range settings {
		set[k] = &v
	}
	if _, err := kadm.NewClient(n.client()).CreateTopic(n.Context(), partitions, 1, set, name); err != nil {
		n.Fatal(err)
	}
}

// message is a record with an id.
func message(topic string, id int) *kgo.Record {
	return &kgo.Record{
		Topic: topic, Key: fmt.Append(nil, id), Value: fmt.Append(nil, "value of ", id),
		Headers: []kgo.RecordHeader{{Key: "id", Value: fmt.Append(nil, id)}},
	}
}

// idsOf are how often each id can be read of a topic. It adds one to each of its
// partitions, to know where they end.
func (n *node) idsOf(topic string, partitions int) map[string]int {
	n.Helper()
	ctx, cancel := context.WithTimeout(n.Context(), 3*time.Minute)
	defer cancel()
	c := n.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer c.Close()
	end := fmt.Sprint("the end at ", time.Now().UnixNano(), " of ")
	for p := range partitions {
		last := &kgo.Record{Topic: topic, Partition: int32(p), Headers: []kgo.RecordHeader{{Key: "id", Value: fmt.Append(nil, end, p)}}}
		if err := c.ProduceSync(ctx, last).FirstErr(); err != nil {
			n.Fatal(err)
		}
	}
	ids := make(map[string]int)
	for ends := 0; ends < partitions; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			n.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			id := string(r.Headers[0].Value)
			if ids[id]++; strings.HasPrefix(id, end) {
				ends++
			}
		})
	}
	return ids
}

// Each acknowledged id of a topic with a window is there once, whoever sent it how
// often to which partition, over restarts and power losses.
func TestWindowKeepsEachIDOnce(t *testing.T) {
	for _, scope := range []string{"topic", "partition"} {
		t.Run(scope, func(t *testing.T) {
			disk := vfs.NewMem()
			n := startWith(t, func(o *Options) { o.FS = disk })
			n.makeTopic("orders", 3, map[string]string{
				"hapax.identity": "header:id", "hapax.window.ms": "3600000", "hapax.scope": scope,
			})
			r := rand.New(rand.NewSource(1))
			acked := make(map[string]bool)
			for range 12 {
				n.produceCopies(r, acked)
				switch r.Intn(3) {
				case 0:
					n.restart()
				case 1:
					crashed := disk.PowerLoss(r)
					if err := n.stop(); err != nil {
						t.Fatal(err)
					}
					disk = crashed
					n.start()
				}
			}
			ids := n.idsOf("orders", 3)
			for id := range acked {
				if ids[id] != 1 {
					t.Errorf("id %s is there %d times", id, ids[id])
				}
			}
		})
	}
}

// produceCopies has a new producer send messages, some of them again and again.
func (n *node) produceCopies(r *rand.Rand, acked map[string]bool) {
	n.Helper()
	ctx, cancel := context.WithTimeout(n.Context(), 3*time.Minute)
	defer cancel()
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.ZstdCompression(), kgo.Lz4Compression(), kgo.SnappyCompression()}
	c := n.client(kgo.ProducerBatchCompression(codecs[r.Intn(len(codecs))]))
	defer c.Close()
	for range 300 {
		id := r.Intn(1500)
		c.Produce(ctx, message("orders", id), func(_ *kgo.Record, err error) {
			if err != nil {
				n.Errorf("produce: %v", err)
			}
		})
		acked[fmt.Sprint(id)] = true
	}
	if err := c.Flush(ctx); err != nil {
		n.Fatal(err)
	}
}

// A window outlives the records that it knows of, and the files of the log that
// hold them: none goes before the window has its ids on a disk of its own.
func TestWindowOutlivesRecords(t *testing.T) {
	disk := vfs.NewMem()
	n := startWith(t, func(o *Options) {
		o.FS = disk
		o.Settings["hapax.log.file.bytes"] = "65536"
	})
	n.makeTopic("orders", 1, map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000"})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	const ids = 6000
	for from := 0; from < ids; from += 500 {
		n.produceSome(ctx, n.client(), from, from+500)
		gone := make(kadm.Offsets)
		gone.AddOffset("orders", 0, int64(from+500), -1)
		if _, err := kadm.NewClient(n.client()).DeleteRecords(ctx, gone); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewSource(1))
	for range 3 {
		n.produceSome(ctx, n.client(), 0, 10)
		crashed := disk.PowerLoss(r)
		if err := n.stop(); err != nil {
			t.Fatal(err)
		}
		disk = crashed
		n.start()
	}
	n.produceSome(ctx, n.client(), 0, ids)
	if got := n.broker.topics.named("orders").window.count.unique.Load(); got != 0 {
		t.Errorf("%d of %d ids were forgotten", got, ids)
	}
	if start := n.broker.topics.named("orders").partitions[0].Start(); start != ids {
		t.Errorf("records are kept from offset %d on", start)
	}
}

// What time let go while the node was not running is told, and accepted again.
func TestWindowEndsWhileNodeIsOff(t *testing.T) {
	var milli atomic.Int64
	milli.Store(1_700_000_000_000)
	n := startWith(t, func(o *Options) { o.Clock = func() time.Time { return time.UnixMilli(milli.Load()) } })
	n.makeTopic("orders", 1, map[string]string{
		"hapax.identity": "header:id", "hapax.window.ms": "60000", "message.timestamp.type": "LogAppendTime",
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	n.produceSome(ctx, n.client(), 0, 100)
	n.restart()
	unique := func() int64 {
		n.produceSome(ctx, n.client(), 0, 100)
		return n.broker.topics.named("orders").window.count.unique.Load()
	}
	if got := unique(); got != 0 {
		t.Errorf("%d ids were forgotten", got)
	}
	milli.Add(62_000)
	n.restart()
	if got := unique(); got != 100 {
		t.Errorf("%d of 100 ids are new again", got)
	}
	milli.Add(-3_600_000) // the clock of the machine is set back
	n.restart()
	if got := unique(); got != 0 {
		t.Errorf("%d ids were forgotten", got)
	}
}

// A window whose directory is gone or damaged makes its own topic take nothing, and
// says so; others go on. Taken away and set anew, it is read from what the topic has.
func TestWindowIsLost(t *testing.T) {
	disk := vfs.NewMem()
	n := startWith(t, func(o *Options) { o.FS = disk })
	set := map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000"}
	n.makeTopic("orders", 2, set)
	n.makeTopic("others", 1, set)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	n.produceSome(ctx, n.client(), 0, 100)
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	w := n.broker.topics.named("orders").window
	if err := n.broker.windows.files.remove(w.dir); err != nil {
		t.Fatal(err)
	}
	n.start()
	if d := n.wire().produced("orders", named(t, batch.Header{ProducerID: batch.None}, 1)); code.Error(d.ErrorCode) != code.KafkaStorageError {
		t.Errorf("the topic takes records: %v", code.Error(d.ErrorCode))
	}
	if err := n.client().ProduceSync(ctx, message("others", 1)).FirstErr(); err != nil {
		t.Errorf("produce to another topic: %v", err)
	}
	n.alter("orders", map[string]string{"hapax.identity": "", "hapax.window.ms": ""})
	n.alter("orders", set)
	n.enforced("orders")
	n.produceSome(ctx, n.client(), 0, 100)
	ids := n.idsOf("orders", 2)
	for id := range 100 {
		if got := ids[fmt.Sprint(id)]; got != 1 {
			t.Errorf("id %d is there %d times", id, got)
		}
	}
}
