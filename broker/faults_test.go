package broker

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// These are faults that brokers were found to have. Each test fails on one that has
// its fault.

const minute = 60_000

func bothProtocols(t *testing.T, f func(t *testing.T, newer bool)) {
	for name, newer := range map[string]bool{"epoch a transaction": true, "epoch kept": false} {
		t.Run(name, func(t *testing.T) { f(t, newer) })
	}
}

// Fault: sequence numbers are stored at a clean stop only.
func TestSequencesOutliveACrash(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 1)
	w := n.writer("till", true, minute)
	w.id = "" // it writes outside of transactions from here on
	b := w.batch(0, "once", false)
	first, at := w.produce(9, "orders", 0, slices.Clone(b))
	w.want(code.None, int16(first))
	after := n.copied()
	w.reconnect(after)
	again, offset := w.produce(9, "orders", 0, b)
	if again != code.None || offset != at {
		t.Fatalf("repeated: %v at offset %d, want %d", again, offset, at)
	}
	w.next[0]++
	if c, offset := w.produce(9, "orders", 0, w.batch(0, "next", false)); c != code.None || offset != at+1 {
		t.Fatalf("next: %v at offset %d", c, offset)
	}
	after.expect(ctx, "orders", kgo.ReadUncommitted(), 1, "once", "next")
}

// Fault: only five slots, of which one is always half overwritten.
func TestFiveBatchesAreKnownAgain(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 1)
	w := n.writer("till", true, minute)
	w.id = ""
	var sent [][]byte
	for i := range 6 {
		sent = append(sent, w.batch(0, fmt.Sprint(i), false))
		c, _ := w.produce(9, "orders", 0, slices.Clone(sent[i]))
		w.want(code.None, int16(c))
		w.next[0]++
	}
	for i := 1; i < 6; i++ {
		if c, offset := w.produce(9, "orders", 0, slices.Clone(sent[i])); c != code.None || offset != int64(i) {
			t.Fatalf("batch %d again: %v at offset %d", i, c, offset)
		}
	}
	c, _ := w.produce(9, "orders", 0, sent[0])
	w.want(code.OutOfOrderSequenceNumber, int16(c))
}

// Faults: markers are written partition by partition, with no decision before them;
// offsets are applied behind them.
func TestCrashTearsNoTransaction(t *testing.T) {
	bothProtocols(t, func(t *testing.T, newer bool) {
		n, ctx := start(t), testContext(t)
		const partitions = 3
		n.topic(ctx, "orders", partitions)
		w := n.writer("till", newer, minute)
		all := func(value string, offset int64) {
			for p := range int32(partitions) {
				w.write("orders", p, value)
			}
			w.offset("tellers", "orders", offset)
		}
		var over atomic.Bool
		var copying sync.WaitGroup
		var dirs []string
		committed := make(chan struct{})
		copying.Go(func() {
			defer over.Store(true)
			for range 8 {
				<-committed
				dirs = append(dirs, t.TempDir())
				if err := n.copyTo(dirs[len(dirs)-1]); err != nil {
					t.Error(err)
				}
			}
		})
		for i := int64(1); !over.Load(); i++ {
			if i%3 == 0 {
				all("aborted", 1_000_000)
				w.want(code.None, int16(w.end(false)))
			}
			all(fmt.Sprint(i), i)
			w.want(code.None, int16(w.end(true)))
			select {
			case committed <- struct{}{}: // the copy is taken while the next ones are written
			default:
			}
		}
		copying.Wait()
		for _, dir := range dirs {
			after := n.on(dir)
			_, done := after.wire().fetchOffset("tellers", "orders", false)
			var want []string
			for i := int64(1); i <= done; i++ {
				want = append(want, fmt.Sprint(i))
			}
			after.expect(ctx, "orders", kgo.ReadCommitted(), partitions, want...)
		}
	})
}

// Fault: what is open at a crash is aborted in memory, without a marker. A later
// commit of its producer brings it back, or readers drop good records.
func TestOpenTransactionOutlivesACrashAndIsAborted(t *testing.T) {
	bothProtocols(t, func(t *testing.T, newer bool) {
		n, ctx := start(t), testContext(t)
		n.topic(ctx, "orders", 2)
		w := n.writer("till", newer, 500)
		w.write("orders", 0, "open")
		w.write("orders", 1, "open")
		after := n.copied()
		after.awaitStable(ctx, "orders")
		w.reconnect(after)
		if c := w.end(true); c == code.None {
			t.Fatal("committed after it was aborted")
		}
		next := after.writer("till", newer, minute)
		next.write("orders", 0, "next")
		next.write("orders", 1, "next")
		next.want(code.None, int16(next.end(true)))
		after.expect(ctx, "orders", kgo.ReadCommitted(), 2, "next")
		after.expect(ctx, "orders", kgo.ReadUncommitted(), 2, "open", "next")
		after.restart()
		after.expect(ctx, "orders", kgo.ReadCommitted(), 2, "next")
	})
}

// A transaction that is open at a crash goes on behind it.
func TestOpenTransactionOutlivesACrashAndGoesOn(t *testing.T) {
	bothProtocols(t, func(t *testing.T, newer bool) {
		n, ctx := start(t), testContext(t)
		n.topic(ctx, "orders", 1)
		w := n.writer("till", newer, minute)
		w.write("orders", 0, "before")
		after := n.copied()
		w.reconnect(after)
		w.write("orders", 0, "behind")
		after.restart() // and a clean stop
		w.reconnect(after)
		w.want(code.None, int16(w.end(true)))
		after.expect(ctx, "orders", kgo.ReadCommitted(), 1, "before", "behind")
	})
}

// Fault: InitProducerId raises the epoch and does not abort, or forgets what is open
// without a marker: a zombie's records are committed with its successor's. Fault: a
// fenced producer is told PRODUCER_FENCED on Produce, which clients take for fatal.
func TestInitAbortsWhatIsOpen(t *testing.T) {
	bothProtocols(t, func(t *testing.T, newer bool) {
		n, ctx := start(t), testContext(t)
		n.topic(ctx, "orders", 1)
		zombie := n.writer("till", newer, minute)
		zombie.write("orders", 0, "zombie")
		next := n.writer("till", newer, minute)
		n.expect(ctx, "orders", kgo.ReadCommitted(), 1)
		version := int16(9)
		if newer {
			version = 12
		}
		c, _ := zombie.produce(version, "orders", 0, zombie.batch(0, "late", true))
		zombie.want(code.InvalidProducerEpoch, int16(c))
		next.write("orders", 0, "next")
		next.want(code.None, int16(next.end(true)))
		zombie.want(code.ProducerFenced, int16(zombie.end(true)))
		n.expect(ctx, "orders", kgo.ReadCommitted(), 1, "next")
		n.expect(ctx, "orders", kgo.ReadUncommitted(), 1, "zombie", "next")
	})
}

// Fault: a group that is not known is an error to OffsetFetch, at which clients stop.
func TestUnknownGroupHasNoOffsets(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 1)
	if c, offset := n.wire().fetchOffset("nobody", "orders", true); c != code.None || offset != -1 {
		t.Fatalf("%v, offset %d", c, offset)
	}
}

// Fault: offsets that wait for their transaction's end are kept in memory only.
func TestPendingOffsetsOutliveACrash(t *testing.T) {
	bothProtocols(t, func(t *testing.T, newer bool) {
		for _, commit := range []bool{true, false} {
			n, ctx := start(t), testContext(t)
			n.topic(ctx, "orders", 1)
			w := n.writer("till", newer, minute)
			w.offset("tellers", "orders", 5)
			after := n.copied()
			after.restart()
			w.reconnect(after)
			if c, _ := w.fetchOffset("tellers", "orders", true); c != code.UnstableOffsetCommit {
				t.Fatalf("stable: %v", c)
			}
			if c, offset := w.fetchOffset("tellers", "orders", false); c != code.None || offset != -1 {
				t.Fatalf("pending: %v, offset %d", c, offset)
			}
			w.want(code.None, int16(w.end(commit)))
			want := int64(5)
			if !commit {
				want = -1
			}
			if c, offset := w.fetchOffset("tellers", "orders", true); c != code.None || offset != want {
				t.Fatalf("ended: %v, offset %d, want %d", c, offset, want)
			}
		}
	})
}

// Fault: a batch is remembered before it is written. A quick retry is acknowledged
// though the write failed.
func TestFailedBatchIsNoDuplicate(t *testing.T) {
	var failing atomic.Bool
	n := &node{T: t, dir: t.TempDir(), addr: "127.0.0.1:0"}
	n.fs = vfs.NewFault(vfs.OS(), func(op vfs.Op, _ string) error {
		if op == vfs.OpSync && failing.Load() {
			return errors.New("no disk")
		}
		return nil
	})
	n.start()
	ctx := testContext(t)
	n.topic(ctx, "orders", 1)
	w := n.writer("till", true, minute)
	w.id = ""
	b := w.batch(0, "once", false)
	failing.Store(true)
	for range 2 {
		c, _ := w.produce(9, "orders", 0, slices.Clone(b))
		w.want(code.KafkaStorageError, int16(c))
	}
	_ = n.stop() // the log has failed
	failing.Store(false)
	n.start()
	defer func() { _ = n.stop() }()
	w.reconnect(n)
	c, _ := w.produce(9, "orders", 0, b)
	w.want(code.None, int16(c))
	n.expect(ctx, "orders", kgo.ReadUncommitted(), 1, "once")
}

// Fault: a batch can be read before its transaction is known to be open.
func TestOpenTransactionIsNeverRead(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 1)
	w := n.writer("till", true, minute)
	var reading sync.WaitGroup
	var stop atomic.Bool
	for range 2 {
		r := n.client(kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeTopics("orders"),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		reading.Go(func() {
			for !stop.Load() {
				r.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
					if string(r.Value) == "open" {
						t.Errorf("offset %d of an aborted transaction was read", r.Offset)
					}
				})
			}
		})
	}
	for range 200 {
		w.write("orders", 0, "open")
		w.want(code.None, int16(w.end(false)))
	}
	w.write("orders", 0, "the end")
	stop.Store(true)
	w.want(code.None, int16(w.end(true)))
	reading.Wait()
}

// Fault: nobody looks at checksums.
func TestBrokenBatchIsRefused(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 1)
	w := n.writer("till", true, minute)
	b := w.batch(0, "value", true)
	b[len(b)-2] ^= 1
	c, _ := w.produce(12, "orders", 0, b)
	w.want(code.CorruptMessage, int16(c))
}

// A late end of a transaction that is over changes nothing of the next one
// (KAFKA-17754), with clients that KIP-890 knows. Others cannot tell them apart.
func TestLateEndChangesNothing(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 1)
	w := n.writer("till", true, minute)
	late := *w
	w.write("orders", 0, "first")
	w.want(code.None, int16(w.end(true)))
	w.write("orders", 0, "second")
	if c := late.end(true); c == code.None {
		t.Fatal("an end was granted twice, the second time for another transaction")
	}
	c, _ := late.produce(12, "orders", 0, late.batch(0, "late", true))
	late.want(code.InvalidProducerEpoch, int16(c))
	n.expect(ctx, "orders", kgo.ReadCommitted(), 1, "first")
	w.want(code.None, int16(w.end(false)))
	n.expect(ctx, "orders", kgo.ReadCommitted(), 1, "first")
}

// What is outside of the transaction is refused, in the words that the version knows.
func TestOutsideOfTheTransaction(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 2)
	w := n.writer("till", false, minute)
	w.want(code.None, int16(w.add("orders", 0)))
	for version, want := range map[int16]code.Error{9: code.InvalidTxnState, 11: code.TransactionAbortable} {
		c, _ := w.produce(version, "orders", 1, w.batch(1, "outside", true))
		w.want(want, int16(c))
	}
	w.id = ""
	c, _ := w.produce(9, "orders", 0, w.batch(0, "no id", true))
	w.want(code.InvalidTxnState, int16(c))
	c, _ = w.produce(9, "orders", 1, w.batch(1, "plain", false)) // beside its transaction
	w.want(code.None, int16(c))
}

// Of a request with a partition that is not there, none is added.
func TestAddPartitionsAllOrNone(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 1)
	w := n.writer("till", false, minute)
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = w.id, w.producer.ID, w.producer.Epoch
	req.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: "orders", Partitions: []int32{0, 1}}}
	got := ask[*kmsg.AddPartitionsToTxnResponse](w.wire, 3, req).Topics[0].Partitions
	w.want(code.OperationNotAttempted, got[0].ErrorCode)
	w.want(code.UnknownTopicOrPartition, got[1].ErrorCode)
	c, _ := w.produce(9, "orders", 0, w.batch(0, "outside", true))
	w.want(code.InvalidTxnState, int16(c))
}

// Operators see who holds a partition's readers up, and can end it.
func TestOperatorAbortsTransaction(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 1)
	w := n.writer("till", true, minute)
	w.write("orders", 0, "stuck")
	a := n.admin()
	listed, err := a.ListTransactions(ctx, nil, []string{"Ongoing"})
	if err != nil || listed["till"].ProducerID != w.producer.ID {
		t.Fatalf("listed %v: %v", listed, err)
	}
	described, err := a.DescribeTransactions(ctx, "till")
	if d := described["till"]; err != nil || d.State != "Ongoing" || !d.Topics.Lookup("orders", 0) {
		t.Fatalf("described %v: %v", described, err)
	}
	producers, err := a.DescribeProducers(ctx, nil)
	if p := producers["orders"].Partitions[0].ActiveProducers[w.producer.ID]; err != nil || p.CurrentTxnStartOffset != 0 {
		t.Fatalf("producers %v: %v", producers, err)
	}
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch = w.producer.ID, w.producer.Epoch
	m.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: "orders", Partitions: []int32{0}}}
	req.Markers = append(req.Markers, m)
	resp := ask[*kmsg.WriteTxnMarkersResponse](w.wire, 1, req)
	w.want(code.None, resp.Markers[0].Topics[0].Partitions[0].ErrorCode)
	n.awaitStable(ctx, "orders")
	n.expect(ctx, "orders", kgo.ReadCommitted(), 1)
	if c := w.end(true); !errors.Is(kerr.ErrorForCode(int16(c)), kerr.ProducerFenced) {
		t.Fatalf("commit: %v", c)
	}
}

// A topic that is deleted in the middle of a transaction does not hinder its end.
func TestDeletedTopicInTransaction(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 1)
	n.topic(ctx, "gone", 1)
	w := n.writer("till", true, minute)
	w.write("gone", 0, "value")
	w.next[0] = 0
	w.write("orders", 0, "value")
	if _, err := n.admin().DeleteTopics(ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	w.want(code.None, int16(w.end(true)))
	after := n.copied()
	after.expect(ctx, "orders", kgo.ReadCommitted(), 1, "value")
}
