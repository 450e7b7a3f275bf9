package broker

import (
	"encoding/binary"
	"io"
	"math"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A connection has one long fetch at a time, which keeps many times its length until it
// is answered: what comes behind it ends its wait. Short ones wait together.
func TestLongFetchesWaitForEachOther(t *testing.T) {
	n, ctx := start(t), testContext(t)
	fetch := func(topicName string, partitions int) *kmsg.FetchRequest {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 4, math.MaxInt32, 1, 1<<20
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic = topicName
		for range partitions {
			p := kmsg.NewFetchRequestTopicPartition()
			p.PartitionMaxBytes = 1 << 20
			topic.Partitions = append(topic.Partitions, p)
		}
		req.Topics = append(req.Topics, topic)
		return req
	}
	for name, test := range map[string]struct {
		partitions int
		answered   int // of three fetches, before there is a record
	}{"long": {ownBytes / 16, 2}, "short": {100, 0}} {
		t.Run(name, func(t *testing.T) {
			n.topic(ctx, name, 1)
			w := n.wire()
			for i := range 3 {
				if _, err := w.Write(kmsg.NewRequestFormatter().AppendRequest(nil, fetch(name, test.partitions), int32(i))); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 3 {
				if i == test.answered {
					if err := n.client().ProduceSync(ctx, &kgo.Record{Topic: name, Value: []byte("one")}).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
				var start [8]byte
				if _, err := io.ReadFull(w, start[:]); err != nil {
					t.Fatal(err)
				}
				b := make([]byte, binary.BigEndian.Uint32(start[:])-4)
				if _, err := io.ReadFull(w, b); err != nil {
					t.Fatal(err)
				}
				resp := kmsg.NewPtrFetchResponse()
				if resp.Version = 4; resp.ReadFrom(b) != nil {
					t.Fatal("it is no answer to a fetch")
				}
				if got := binary.BigEndian.Uint32(start[4:]); got != uint32(i) {
					t.Errorf("answer %d is to request %d", i, got)
				}
				if got := len(resp.Topics[0].Partitions[0].RecordBatches) > 0; got != (i >= test.answered) {
					t.Errorf("answer %d has records: %v", i, got)
				}
			}
		})
	}
}

// A client that goes while its long fetch waits is let go, with what is behind that.
func TestLongFetchOfWhoHasGone(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 1)
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes = 4, math.MaxInt32, 1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = "orders"
	topic.Partitions = make([]kmsg.FetchRequestTopicPartition, ownBytes/16)
	req.Topics = append(req.Topics, topic)
	w := n.wire()
	for range 3 {
		if _, err := w.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)); err != nil {
			t.Fatal(err)
		}
	}
	for n.broker.counters.requests[req.Key()].Load() == 0 && ctx.Err() == nil {
		runtime.Gosched()
	}
	before := n.broker.counters.connections.Load()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for n.broker.counters.connections.Load() >= before {
		if ctx.Err() != nil {
			t.Fatal("the connection is held")
		}
		runtime.Gosched()
	}
}
