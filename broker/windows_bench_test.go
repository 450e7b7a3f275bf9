package broker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/batch"
)

// benchNode is a node for one benchmark.
func benchNode(b *testing.B) *Broker {
	n, err := Open(b.TempDir(), Options{
		Listeners: []Listener{{Address: "127.0.0.1:0"}}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Settings: Settings{"log.retention.bytes": "1"},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); n.Serve(ctx) }()
	b.Cleanup(func() {
		cancel()
		<-done
		if err := n.Close(); err != nil {
			b.Error(err)
		}
	})
	return n
}

// benchBatch is a batch of records of 100 bytes with ids from one on, so many with the
// same.
func benchBatch(b *testing.B, records, from, alike int) []byte {
	all := make([]batch.Record, records)
	for i := range all {
		number := (from + i) / alike
		id := fmt.Appendf(nil, "%08x-0000-4000-8000-%012x", uint32(number)*2654435761, number)
		all[i] = batch.Record{OffsetDelta: int32(i), Value: make([]byte, 100)}
		all[i].Headers = all[i].Headers.With(batch.RecordHeader{Key: []byte("id"), Value: id})
	}
	var e batch.Encoder
	h := batch.Header{
		BaseTimestamp: time.Now().UnixMilli(), MaxTimestamp: time.Now().UnixMilli(), LastOffsetDelta: int32(records - 1),
		ProducerID: batch.None, ProducerEpoch: batch.None, BaseSequence: batch.None,
	}
	made, err := e.Append(nil, h, all)
	if err != nil {
		b.Fatal(err)
	}
	return made
}

// BenchmarkAppend appends batches of new ids, to a topic without a window, with one
// that is small, and with one of ten million ids; and of ids that come twice. The time
// is that of a record.
func BenchmarkAppend(b *testing.B) {
	const records = 1000
	for _, w := range []struct {
		name  string
		live  int
		alike int
		rules map[string]string
	}{
		{"no window", 0, 1, nil},
		{"half copies", 100_000, 2, map[string]string{"hapax.identity": "header:id", "hapax.window.count": "2000000"}},
		{"window of 100 k", 100_000, 1, map[string]string{"hapax.identity": "header:id", "hapax.window.count": "2000000"}},
		{"window of 10 M", 10_000_000, 1, map[string]string{"hapax.identity": "header:id", "hapax.window.count": "10000000", "hapax.window.memory.bytes": "1073741824"}},
	} {
		b.Run(w.name, func(b *testing.B) {
			n := benchNode(b)
			t, err := n.topics.make(newTopic{name: "orders", partitions: 1, settings: w.rules})
			if err != nil {
				b.Fatal(err)
			}
			next := 0
			add := func(made []byte) {
				p := producing{b: n, acks: -1, now: n.clock()}
				asked := kmsg.NewProduceRequestTopicPartition()
				asked.Records = made
				prepared, err := p.prepare(t, &asked, false)
				prepared.err = err
				if done := p.append(0, &prepared); done.ErrorCode != 0 {
					b.Fatal(*done.ErrorMessage)
				}
				if next%(64*records) == 0 {
					if err := n.wal.Sync(p.end); err != nil {
						b.Fatal(err)
					}
				}
				next += records
			}
			for next < w.live {
				add(benchBatch(b, records, next, w.alike))
			}
			b.SetBytes(int64(len(benchBatch(b, records, 0, 1)) / records))
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; done += records {
				b.StopTimer()
				made := benchBatch(b, records, next, w.alike)
				b.StartTimer()
				add(made)
			}
		})
	}
}
