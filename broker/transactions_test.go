package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// oldProtocol makes a client one from before KIP-890: an end of a transaction
// leaves the epoch as it is.
func oldProtocol() kgo.Opt { return kgo.MaxVersions(kversion.V3_6_0()) }

// topic makes a topic.
func (n *node) topic(ctx context.Context, name string, partitions int32) {
	n.Helper()
	if _, err := n.admin().CreateTopic(ctx, partitions, 1, nil, name); err != nil {
		n.Fatal(err)
	}
}

func (n *node) producer(id string, opts ...kgo.Opt) *kgo.Client {
	n.Helper()
	return n.client(append([]kgo.Opt{kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
}

// send produces a record to each of some partitions, in the open transaction.
func (n *node) send(ctx context.Context, c *kgo.Client, topic, value string, partitions int32) {
	n.Helper()
	for p := range partitions {
		if err := c.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: p, Value: []byte(value)}).FirstErr(); err != nil {
			n.Fatal(err)
		}
	}
}

// inTransaction sends a value to all partitions in one transaction, and ends it.
func (n *node) inTransaction(ctx context.Context, c *kgo.Client, topic, value string, partitions int32, end kgo.TransactionEndTry) {
	n.Helper()
	if err := c.BeginTransaction(); err != nil {
		n.Fatal(err)
	}
	n.send(ctx, c, topic, value, partitions)
	if err := c.EndTransaction(ctx, end); err != nil {
		n.Fatal(err)
	}
}

// values reads a topic up to what stands at its ends now, and gives the values of
// each partition.
func (n *node) values(ctx context.Context, topic string, level kgo.IsolationLevel) map[int32][]string {
	n.Helper()
	c := n.client(kgo.FetchIsolationLevel(level), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond), kgo.KeepControlRecords())
	defer c.Close()
	a := n.admin()
	ends, err := a.ListEndOffsets(ctx, topic)
	if level == kgo.ReadCommitted() {
		ends, err = a.ListCommittedOffsets(ctx, topic)
	}
	if err != nil {
		n.Fatal(err)
	}
	found, left := make(map[int32][]string), make(map[int32]int64)
	for p, end := range ends[topic] {
		if found[p] = nil; end.Offset > 0 {
			left[p] = end.Offset
		}
	}
	for len(left) > 0 {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			n.Fatalf("read %s: %v: %v left", topic, err, left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				found[r.Partition] = append(found[r.Partition], string(r.Value))
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return found
}

// expect checks that all partitions hold the same values.
func (n *node) expect(ctx context.Context, topic string, level kgo.IsolationLevel, partitions int, want ...string) {
	n.Helper()
	got := n.values(ctx, topic, level)
	if len(got) != partitions {
		n.Fatalf("%d partitions of %s, want %d", len(got), topic, partitions)
	}
	for p := range got {
		if !slices.Equal(got[p], want) {
			n.Fatalf("partition %d of %s holds %q, want %q", p, topic, got[p], want)
		}
	}
}

// Readers of committed records see what was committed, in all partitions, and
// others see all there is. Both protocols.
func TestCommitAndAbort(t *testing.T) {
	for name, opts := range map[string][]kgo.Opt{"epoch a transaction": nil, "epoch kept": {oldProtocol()}} {
		t.Run(name, func(t *testing.T) {
			n, ctx := start(t), testContext(t)
			const partitions = 3
			n.topic(ctx, "orders", partitions)
			c := n.producer("till", opts...)
			n.inTransaction(ctx, c, "orders", "a", partitions, kgo.TryCommit)
			n.inTransaction(ctx, c, "orders", "b", partitions, kgo.TryAbort)
			n.inTransaction(ctx, c, "orders", "c", partitions, kgo.TryCommit)
			n.expect(ctx, "orders", kgo.ReadCommitted(), partitions, "a", "c")
			n.expect(ctx, "orders", kgo.ReadUncommitted(), partitions, "a", "b", "c")
			if err := c.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			n.send(ctx, c, "orders", "d", partitions)
			n.expect(ctx, "orders", kgo.ReadCommitted(), partitions, "a", "c")
			n.expect(ctx, "orders", kgo.ReadUncommitted(), partitions, "a", "b", "c", "d")
			n.restart()
			n.expect(ctx, "orders", kgo.ReadCommitted(), partitions, "a", "c")
			n.expect(ctx, "orders", kgo.ReadUncommitted(), partitions, "a", "b", "c", "d")
		})
	}
}

// Of two transactions that overlap in one partition, the aborted one is left out
// and the other is not; the list of aborted ones is by first offset.
func TestOverlappingTransactions(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 1)
	var clients []*kgo.Client
	for i := range 4 {
		c := n.producer(fmt.Sprint("till-", i))
		clients = append(clients, c)
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		n.send(ctx, c, "orders", fmt.Sprint(i, " first"), 1)
	}
	for i, c := range clients {
		n.send(ctx, c, "orders", fmt.Sprint(i, " second"), 1)
	}
	for _, i := range []int{3, 1, 0, 2} { // the last to begin is the first to end
		if err := clients[i].EndTransaction(ctx, kgo.TransactionEndTry(i == 0)); err != nil {
			t.Fatal(err)
		}
	}
	n.expect(ctx, "orders", kgo.ReadCommitted(), 1, "0 first", "0 second")
	n.restart()
	n.expect(ctx, "orders", kgo.ReadCommitted(), 1, "0 first", "0 second")
}

// What a group reads is written elsewhere in the same transaction as the group's
// offsets, by workers that come and go, with transactions aborted between: every
// record gets through once.
func TestConsumeTransformProduce(t *testing.T) {
	n, ctx := start(t), testContext(t)
	const partitions, count = 2, 200
	n.topic(ctx, "in", partitions)
	n.topic(ctx, "out", partitions)
	feed := n.client(kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	want := make(map[string]int)
	for i := range count {
		value := fmt.Sprint(i)
		want[value] = 1
		feed.Produce(ctx, &kgo.Record{Topic: "in", Value: []byte(value)}, nil)
	}
	if err := feed.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	moved := n.work(ctx, "worker-0", count/2)
	n.restart()
	for moved < count {
		moved += n.work(ctx, "worker-1", count-moved)
	}
	got := make(map[string]int)
	for _, values := range n.values(ctx, "out", kgo.ReadCommitted()) {
		for _, v := range values {
			got[v]++
		}
	}
	if !maps.Equal(got, want) {
		t.Fatalf("%d values got through, want %d: %v", len(got), len(want), got)
	}
}

// work moves records from in to out until there are enough, aborts a transaction, and
// counts what it committed.
func (n *node) work(ctx context.Context, id string, enough int) (moved int) {
	n.Helper()
	s, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(n.addr), kgo.TransactionalID(id), kgo.ConsumerGroup("movers"),
		kgo.ConsumeTopics("in"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		n.Fatal(err)
	}
	defer s.Close()
	for round := 0; moved < enough; {
		fetches := s.PollRecords(ctx, 25)
		if err := fetches.Err(); err != nil {
			n.Fatal(err)
		}
		records := fetches.Records()
		if len(records) == 0 {
			continue
		}
		if err := s.Begin(); err != nil {
			n.Fatal(err)
		}
		for _, r := range records {
			s.Produce(ctx, &kgo.Record{Topic: "out", Value: r.Value}, nil)
		}
		committed, err := s.End(ctx, kgo.TransactionEndTry(round != 1))
		if err != nil {
			n.Fatal(err)
		}
		if committed {
			moved += len(records)
		}
		round++
	}
	return moved
}

// Whoever takes over a transactional id ends what its predecessor left open before
// it writes itself, and the predecessor can neither write nor commit any more.
func TestZombieIsFencedBeforeItsSuccessorWrites(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 2)
	zombie, next := n.producer("till"), n.producer("till")
	if err := zombie.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	n.send(ctx, zombie, "orders", "zombie", 2)
	n.inTransaction(ctx, next, "orders", "next", 2, kgo.TryCommit)
	err := zombie.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte("late")}).FirstErr()
	if !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.ProducerFenced) {
		t.Fatalf("a fenced producer's write: %v", err)
	}
	if err := zombie.EndTransaction(ctx, kgo.TryCommit); err == nil {
		t.Fatal("a fenced producer committed")
	}
	n.expect(ctx, "orders", kgo.ReadCommitted(), 2, "next")
}

// A transaction that is open for longer than its client asked for is aborted, and
// holds readers up no longer; also if the node was away meanwhile.
func TestTimeoutAborts(t *testing.T) {
	for name, interrupt := range map[string]func(*node){"running": func(*node) {}, "restarted": (*node).restart} {
		t.Run(name, func(t *testing.T) {
			n, ctx := start(t), testContext(t)
			n.topic(ctx, "orders", 2)
			c := n.producer("till", kgo.TransactionTimeout(time.Second))
			if err := c.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			n.send(ctx, c, "orders", "left", 2)
			interrupt(n)
			plain := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
			n.send(ctx, plain, "orders", "behind", 2)
			n.awaitStable(ctx, "orders")
			n.expect(ctx, "orders", kgo.ReadCommitted(), 2, "behind")
			if err := c.EndTransaction(ctx, kgo.TryCommit); err == nil {
				t.Fatal("a transaction was committed after it was aborted")
			}
		})
	}
}

// awaitStable returns when no transaction is open in a topic.
func (n *node) awaitStable(ctx context.Context, topic string) {
	n.Helper()
	a := n.admin()
	for {
		stable, err := a.ListCommittedOffsets(ctx, topic)
		if err != nil {
			n.Fatal(err)
		}
		ends, err := a.ListEndOffsets(ctx, topic)
		if err != nil {
			n.Fatal(err)
		}
		done := true
		ends.Each(func(end kadm.ListedOffset) {
			at, _ := stable.Lookup(topic, end.Partition)
			done = done && at.Offset == end.Offset
		})
		if done {
			return
		}
	}
}
