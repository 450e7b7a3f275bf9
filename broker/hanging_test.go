package broker

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/txn"
	"github.com/hapaxmq/hapax/internal/wal"
)

// Several clients take one id from each other and write and end as they like. None
// of their batches comes behind the end of its transaction: whoever takes the id
// last leaves nothing open (KIP-890 calls that a hanging transaction).
func TestNoTransactionHangs(t *testing.T) {
	bothProtocols(t, func(t *testing.T, newer bool) {
		n, ctx := start(t), testContext(t)
		const partitions, clients = 3, 4
		n.topic(ctx, "orders", partitions)
		var racing sync.WaitGroup
		for i := range clients {
			w := n.writer("till", newer, minute)
			racing.Go(func() {
				for round := range 15 {
					w.init(minute)
					for p := range int32(partitions) {
						version := int16(12)
						if !newer {
							version = 9
							w.add("orders", p)
						}
						w.produce(version, "orders", p, w.batch(p, fmt.Sprint(i, round), true)) // another may have the id by now
					}
					w.end(round%2 == 0)
				}
			})
		}
		racing.Wait()
		n.writer("till", newer, minute)
		for _, n := range []*node{n, n.copied()} {
			n.writer("till", newer, minute)
			a := n.admin()
			stable, err := a.ListCommittedOffsets(ctx, "orders")
			if err != nil {
				t.Fatal(err)
			}
			ends, err := a.ListEndOffsets(ctx, "orders")
			if err != nil {
				t.Fatal(err)
			}
			for p := range int32(partitions) {
				if stable["orders"][p].Offset != ends["orders"][p].Offset {
					t.Fatalf("partition %d is stable up to %d of %d", p, stable["orders"][p].Offset, ends["orders"][p].Offset)
				}
			}
		}
	})
}

// An end that overtakes a write of the same producer, on another connection, ends it
// too or refuses it. The epoch is the same before and behind it, so that the
// partition cannot tell.
func TestEndBesideWrite(t *testing.T) {
	n, ctx := start(t), testContext(t)
	const partitions = 100
	n.topic(ctx, "orders", partitions)
	w := n.writer("till", false, minute)
	other := *w
	other.reconnect(n)
	var all []int32
	for p := range int32(partitions) {
		all = append(all, p)
	}
	for range 20 {
		w.want(code.None, int16(w.add("orders", all...)))
		req := kmsg.NewPtrProduceRequest()
		req.TransactionID, req.Acks = &w.id, -1
		topic := kmsg.ProduceRequestTopic{Topic: "orders"}
		for _, p := range all {
			topic.Partitions = append(topic.Partitions, kmsg.ProduceRequestTopicPartition{Partition: p, Records: w.batch(p, "value", true)})
		}
		req.Topics = append(req.Topics, topic)
		var ending sync.WaitGroup
		ending.Go(func() { other.end(true) })
		for _, p := range ask[*kmsg.ProduceResponse](w.wire, 9, req).Topics[0].Partitions {
			if p.ErrorCode == 0 {
				w.next[p.Partition]++
			}
		}
		ending.Wait()
		for i, p := range n.broker.topics.named("orders").partitions {
			if stable, high := p.Limit(true), p.Limit(false); stable < high {
				if c := w.end(false); c != code.None {
					t.Fatalf("partition %d is stable up to %d of %d, and no transaction is open: %v", i, stable, high, c)
				}
			}
		}
	}
}

// Records of an open transaction may be deleted: the last stable offset is never
// below what is kept, and the transaction's end still ends it.
func TestDeletedRecordsOfOpenTransaction(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 1)
	w := n.writer("till", true, minute)
	w.write("orders", 0, "gone")
	w.write("orders", 0, "gone too")
	to := make(kadm.Offsets)
	to.AddOffset("orders", 0, 2, -1)
	if _, err := n.admin().DeleteRecords(ctx, to); err != nil {
		t.Fatal(err)
	}
	w.write("orders", 0, "kept")
	for _, n := range []*node{n, n.copied()} {
		if p := n.wire().fetch("orders", 2); p.ErrorCode != 0 || p.LastStableOffset != 2 || p.LogStartOffset != 2 || p.HighWatermark != 3 {
			t.Fatalf("%v: from %d on, stable up to %d of %d", code.Error(p.ErrorCode), p.LogStartOffset, p.LastStableOffset, p.HighWatermark)
		}
	}
	w.want(code.None, int16(w.end(false)))
	for _, n := range []*node{n, n.copied()} {
		p := n.wire().fetch("orders", 2)
		if len(p.AbortedTransactions) != 1 || p.AbortedTransactions[0].FirstOffset != 0 || p.LastStableOffset != 4 {
			t.Fatalf("aborted %v, stable up to %d", p.AbortedTransactions, p.LastStableOffset)
		}
	}
}

// Fault: aborted transactions are listed in the order of their ends, and clients
// that trust the protocol show their records.
func TestAbortedAreListedByFirstOffset(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 1)
	var writers []*writer
	var want []int64
	for i := range 4 {
		w := n.writer(fmt.Sprint("till-", i), true, minute)
		w.write("orders", 0, "value")
		writers, want = append(writers, w), append(want, int64(i))
	}
	for _, w := range slices.Backward(writers) {
		w.want(code.None, int16(w.end(false)))
	}
	for _, n := range []*node{n, n.copied()} {
		p := n.wire().fetch("orders", 0)
		var got []int64
		for _, a := range p.AbortedTransactions {
			got = append(got, a.FirstOffset)
		}
		if !slices.Equal(got, want) || p.LastStableOffset != 8 || p.HighWatermark != 8 {
			t.Fatalf("aborted from offsets %d, want %d; stable up to %d of %d", got, want, p.LastStableOffset, p.HighWatermark)
		}
	}
}

// fetch reads what was committed to partition 0.
func (w *wire) fetch(topic string, offset int64) kmsg.FetchResponseTopicPartition {
	w.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.IsolationLevel, req.MaxBytes, req.SessionEpoch = 1, 1<<20, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes = offset, 1<<20
	req.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	return ask[*kmsg.FetchResponse](w, 11, req).Topics[0].Partitions[0]
}

// Features tell clients that each end raises the epoch, and that groups may be of
// the consumer protocol.
func TestFeatures(t *testing.T) {
	resp := ask[*kmsg.ApiVersionsResponse](start(t).wire(), 3, kmsg.NewPtrApiVersionsRequest())
	f := resp.FinalizedFeatures
	if len(f) != 2 || f[0].Name != "group.version" || f[0].MaxVersionLevel != 1 || f[1].Name != "transaction.version" || f[1].MaxVersionLevel != 2 {
		t.Fatalf("%+v", f)
	}
}

// replaying is a node as it is while it opens: one topic, and a transaction in both
// of its partitions.
func replaying() *Broker {
	set, err := parseSettings(nil)
	if err != nil {
		panic(err)
	}
	b := &Broker{settings: set}
	b.topics = newTopics(&b.log, &b.settings, &b.groups)
	b.groups.init(b, set.group())
	b.txns.init(b, set.txn())
	b.topics.add(topicMade{id: [16]byte{1}, name: "orders", runs: []run{{0, 2}}}, nil)
	p := txn.Producer{ID: 5, Epoch: 1}
	for _, e := range []*txn.Event{
		{Kind: txn.Held, ID: "till", Producer: p, Previous: txn.NoProducer(), TimeoutMs: minute, Started: -1},
		{Kind: txn.Added, ID: "till", Producer: p, Previous: txn.NoProducer(), Partitions: []uint32{0, 1}},
	} {
		if err := b.txns.c.Apply(e); err != nil {
			panic(err)
		}
	}
	return b
}

// No bytes make a panic, and what is taken for an end is one.
func FuzzReplayEnd(f *testing.F) {
	for _, offsets := range [][2]int64{{0, 0}, {partition.NoOffset, 0}, {0, 1}} {
		_, event := replaying().txns.c.DecideEnd(txn.EndRequest{Version: 5, ID: "till", Producer: txn.Producer{ID: 5, Epoch: 1}}, 1)
		var markers []byte
		for i, offset := range offsets {
			event.End.Markers[i].Offset = offset
			if m := markerOf(event); offset >= 0 {
				m.Offset = offset
				markers = batch.AppendMarker(markers, m)
			}
		}
		b := event.Append(nil)
		f.Add(slices.Concat(binary.AppendUvarint(nil, uint64(len(b))), b, markers))
		f.Add(slices.Concat(binary.AppendUvarint(nil, uint64(len(b))), b))
	}
	f.Add(binary.AppendUvarint(nil, math.MaxUint64))
	f.Fuzz(func(t *testing.T, payload []byte) {
		b := replaying()
		err := b.txns.replayEnd(wal.Frame{Payload: payload})
		if _, open := b.txns.count(); err == nil && open > 0 {
			t.Fatal("the transaction is open still")
		}
	})
}
