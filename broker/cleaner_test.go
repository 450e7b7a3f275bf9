package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// compacted makes a topic that is compacted up to its last batch.
func (n *node) compacted(ctx context.Context, name, policy string) {
	n.Helper()
	settings := map[string]*string{
		"cleanup.policy": &policy, "segment.bytes": kmsg.StringPtr("14"),
		"min.cleanable.dirty.ratio": kmsg.StringPtr("0"), "delete.retention.ms": kmsg.StringPtr("0"),
	}
	if _, err := n.admin().CreateTopic(ctx, 1, 1, settings, name); err != nil {
		n.Fatal(err)
	}
}

// put produces a record, a tombstone without a value.
func (n *node) put(ctx context.Context, c *kgo.Client, topic, key, value string) {
	n.Helper()
	r := &kgo.Record{Topic: topic, Key: []byte(key)}
	if value != "" {
		r.Value = []byte(value)
	}
	if err := c.ProduceSync(ctx, r).FirstErr(); err != nil {
		n.Fatal(err)
	}
}

// clean does what the cleaner has to do.
func (n *node) clean() {
	n.Helper()
	if err := n.broker.cleaner.once(n.Context()); err != nil {
		n.Fatal(err)
	}
}

// roll makes the log go on in a new file.
func (n *node) roll(ctx context.Context) {
	n.Helper()
	was := n.broker.wal.Newest()
	n.fill(ctx, "rolls", 1)
	var to kadm.Offsets
	to.AddOffset("rolls", 0, -1, -1)
	if _, err := n.admin().DeleteRecords(ctx, to); err != nil {
		n.Fatal(err)
	}
	n.restart()
	if n.broker.wal.Newest() == was {
		n.Fatal("no new file")
	}
}

// table reads a topic, and gives the records by their keys; each offset must be what
// it ever was.
func (n *node) table(ctx context.Context, topic string, level kgo.IsolationLevel) (keys map[string]string, records int) {
	n.Helper()
	keys = make(map[string]string)
	a := n.admin()
	ends, err := a.ListEndOffsets(ctx, topic)
	if err != nil {
		n.Fatal(err)
	}
	end, _ := ends.Lookup(topic, 0)
	c := n.client(kgo.FetchIsolationLevel(level), kgo.ConsumeTopics(topic), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	defer c.Close()
	for at := int64(-1); at < end.Offset-1; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			n.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset <= at {
				n.Fatalf("offset %d behind %d", r.Offset, at)
			}
			at = r.Offset
			if r.Attrs.IsControl() {
				return
			}
			records++
			if keys[string(r.Key)] = string(r.Value); r.Value == nil {
				delete(keys, string(r.Key))
			}
		})
	}
	return keys, records
}

// What a compacted topic says of each key stays, and all else goes; over a restart
// and on the disk of a kill too.
func TestCompactedTopic(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.compacted(ctx, "prices", "compact")
	c, tx := n.client(), n.producer("pricing")
	want := make(map[string]string)
	for round := range 30 {
		for key := range 5 {
			name, value := fmt.Sprint("k", key), fmt.Sprint("v", round)
			n.put(ctx, c, "prices", name, value)
			want[name] = value
		}
		end := kgo.TryCommit
		if round%2 == 0 {
			end = kgo.TryAbort
		}
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		n.put(ctx, tx, "prices", "k9", fmt.Sprint("t", round))
		if err := tx.EndTransaction(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	n.put(ctx, c, "prices", "k0", "")
	delete(want, "k0")
	want["k9"] = "t29"
	n.put(ctx, c, "prices", "last", "one")
	want["last"] = "one"
	check := func(n *node, most int) {
		t.Helper()
		got, records := n.table(ctx, "prices", kgo.ReadCommitted())
		if !maps.Equal(got, want) || records > most {
			t.Errorf("%d records, want %d at most: %v, want %v", records, most, got, want)
		}
	}
	check(n, 1000)
	n.clean()
	check(n, 8) // the last of six keys, the tombstone, the last batch
	check(n.copied(), 8)
	n.restart()
	check(n, 8)
	n.put(ctx, n.client(), "prices", "last", "one")
	n.clean()
	check(n, 7) // less the tombstone
	check(n.copied(), 7)
}

// A producer goes on behind what was compacted, and a repeat is known as one.
func TestCompactionKeepsSequences(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.compacted(ctx, "prices", "compact")
	c, other := n.client(), n.client()
	for i := range 10 {
		n.put(ctx, c, "prices", "a", fmt.Sprint(i))
	}
	n.put(ctx, other, "prices", "a", "x")
	n.put(ctx, other, "prices", "a", "y")
	n.clean()
	n.restart()
	n.put(ctx, c, "prices", "b", "z") // of a, the last batch is left alone
	if got, records := n.table(ctx, "prices", kgo.ReadUncommitted()); records != 3 || got["a"] != "y" || got["b"] != "z" {
		t.Errorf("%d records: %v", records, got)
	}
}

// Records without a key are refused, all of the batch, and those are named.
func TestCompactedTopicWantsKeys(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.compacted(ctx, "prices", "compact, delete")
	c := n.client(kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	err := c.ProduceSync(ctx, &kgo.Record{Topic: "prices", Value: []byte("x")}).FirstErr()
	if !errors.Is(err, kerr.InvalidRecord) {
		t.Errorf("without a key: %v", err)
	}
	n.put(ctx, n.client(), "prices", "a", "x")
}

// A topic that is compacted only keeps what is old, and lets nobody delete records;
// one that is both does not.
func TestCompactionAndRetention(t *testing.T) {
	n, ctx := start(t), testContext(t)
	for _, policy := range []string{"compact", "compact,delete"} {
		topic := strings.ReplaceAll(policy, ",", "-")
		n.compacted(ctx, topic, policy)
		old := &kgo.Record{Topic: topic, Key: []byte("a"), Value: []byte("old"), Timestamp: time.Now().Add(-8 * 24 * time.Hour)}
		if err := n.client().ProduceSync(ctx, old).FirstErr(); err != nil {
			t.Fatal(err)
		}
		n.put(ctx, n.client(), topic, "b", "x")
		if err := n.broker.retention.once(); err != nil {
			t.Fatal(err)
		}
		want, refused := int64(0), error(kerr.PolicyViolation)
		if policy != "compact" {
			want, refused = 1, nil
		}
		if got := n.startOffset(ctx, topic); got != want {
			t.Errorf("%s: from %d on, want %d", policy, got, want)
		}
		var to kadm.Offsets
		to.AddOffset(topic, 0, 1, -1)
		done, err := n.admin().DeleteRecords(ctx, to)
		if got, _ := done.Lookup(topic, 0); !errors.Is(errors.Join(err, got.Err), refused) {
			t.Errorf("%s: delete records: %v, %v; want %v", policy, err, got.Err, refused)
		}
	}
}

// Lags and the share of what is dirty hold compaction back.
func TestCompactionWaits(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.compacted(ctx, "prices", "compact")
	c := n.client()
	for i := range 20 {
		n.put(ctx, c, "prices", "a", fmt.Sprint(i))
	}
	set := func(name, value string) {
		t.Helper()
		if _, err := n.admin().AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: name, Value: &value}}, "prices"); err != nil {
			t.Fatal(err)
		}
	}
	left := func(want int) {
		t.Helper()
		n.clean()
		if _, records := n.table(ctx, "prices", kgo.ReadUncommitted()); records != want {
			t.Errorf("%d records are left, want %d", records, want)
		}
	}
	set("min.compaction.lag.ms", "3600000")
	left(20)
	set("min.compaction.lag.ms", "0")
	set("segment.bytes", "1000000")
	left(20)
	set("segment.bytes", "14")
	left(2)
	set("min.cleanable.dirty.ratio", "0.9")
	n.put(ctx, c, "prices", "a", "x")
	n.put(ctx, c, "prices", "a", "x")
	left(4)
	set("max.compaction.lag.ms", "1")
	n.clock = func() time.Time { return time.Now().Add(time.Hour) }
	n.restart()
	left(2)
}

// Small batches of many partitions are read as they were written when they stand
// together, from any offset, and take less memory; files that hold nothing else go.
func TestRegroup(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 3)
	c := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range 100 {
		n.send(ctx, c, "orders", fmt.Sprint(i, " ", strings.Repeat("x", i)), 3)
	}
	sent := time.Now().UnixMilli()
	middle := sent
	for middle == sent { // until a moment that none of the first has
		middle = time.Now().UnixMilli()
	}
	for i := range 40 {
		n.send(ctx, c, "orders", fmt.Sprint(i), 3)
	}
	want := n.values(ctx, "orders", kgo.ReadCommitted())
	since := func(n *node) int64 {
		t.Helper()
		found, err := n.admin().ListOffsetsAfterMilli(ctx, middle, "orders")
		if err != nil {
			t.Fatal(err)
		}
		o, _ := found.Lookup("orders", 1)
		return o.Offset
	}
	first := since(n)
	n.roll(ctx)
	files := len(n.broker.needed())
	before := n.extents("orders")
	n.clean()
	if after := n.extents("orders"); after*10 > before || before < 300 {
		t.Errorf("%d extents of %d are left", after, before)
	}
	if again := len(n.broker.needed()); again > files {
		t.Errorf("%d files are needed, and %d were before", again, files)
	}
	check := func(n *node) {
		t.Helper()
		if got := since(n); got != first || first < 99 {
			t.Errorf("the first since then is %d, and was %d", got, first)
		}
		for p, values := range n.values(ctx, "orders", kgo.ReadCommitted()) {
			if strings.Join(values, "\n") != strings.Join(want[p], "\n") {
				t.Errorf("partition %d: %q", p, values)
			}
		}
		for _, at := range []int64{0, 1, 50, 98, 99} {
			c := n.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"orders": {1: kgo.NewOffset().At(at)}}), kgo.FetchMaxPartitionBytes(200))
			if r := c.PollRecords(ctx, 1).Records(); len(r) != 1 || r[0].Offset != at {
				t.Errorf("from %d: %v", at, r)
			}
			c.Close()
		}
	}
	check(n)
	check(n.copied())
	n.restart()
	check(n)
}

// extents is how many the index has of a topic.
func (n *node) extents(topic string) (count int) {
	for _, p := range n.broker.topics.named(topic).partitions {
		count += partition.Old{Partition: p}.Len()
	}
	return count
}

var errPower = errors.New("power is gone")

// The cleaner is stopped at each operation of the disk: whoever opens what is left,
// by a kill or by power loss, finds each key's last value, and each record where it
// was.
func TestCleanerIsKilledAtEachStep(t *testing.T) {
	m := vfs.NewMem()
	n := &node{T: t, dir: "/node", addr: "127.0.0.1:0", fs: m}
	n.start()
	ctx := testContext(t)
	n.compacted(ctx, "prices", "compact")
	n.topic(ctx, "orders", 2)
	c, tx := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner())), n.producer("pricing")
	for round := range 40 {
		n.put(ctx, c, "prices", fmt.Sprint("k", round%3), fmt.Sprint("v", round))
		n.send(ctx, c, "orders", fmt.Sprint(round), 2)
		end := kgo.TryCommit
		if round%2 == 0 {
			end = kgo.TryAbort
		}
		n.inTransaction(ctx, tx, "orders", fmt.Sprint("t", round), 2, end)
	}
	n.put(ctx, c, "prices", "k0", "")
	n.put(ctx, c, "prices", "last", "one")
	n.roll(ctx)
	want := committed(t, n.broker)
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	check := func(what string, disk *vfs.Mem) {
		t.Helper()
		b := openOn(t, disk)
		if err := committed(t, b).follows(want, "prices"); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if err := b.Close(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for op := 0; ; op++ {
		disk := m.KillCopy()
		fault := vfs.NewFault(disk, nil)
		b := openOn(t, fault)
		fault.SetHook(vfs.FailFrom(op, errPower, vfs.OpWrite, vfs.OpSync, vfs.OpCreate, vfs.OpRename, vfs.OpRemove, vfs.OpTruncate, vfs.OpSyncDir))
		err := b.cleaner.once(ctx)
		if err == nil {
			err = b.retention.once() // more of the log
		}
		check(fmt.Sprintf("operation %d, kill", op), disk.KillCopy())
		check(fmt.Sprintf("operation %d, power loss", op), disk.PowerLoss(rand.New(rand.NewSource(int64(op)))))
		counts := &b.cleaner.counts
		passes, regrouped := counts.passes.Load(), counts.regrouped.Load()
		closed := b.Close()
		check(fmt.Sprintf("operation %d, closed", op), disk.KillCopy())
		if err == nil && closed == nil {
			if passes == 0 || regrouped == 0 {
				t.Errorf("%d compactions, %d bytes regrouped", passes, regrouped)
			}
			return
		}
	}
}

// openOn opens a node on a disk, and serves nobody.
func openOn(t *testing.T, disk vfs.FS) *Broker {
	t.Helper()
	b, err := Open("/node", Options{FS: disk, Listeners: []Listener{{Address: "127.0.0.1:0"}}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// content is what readers of committed records see: by topic and partition, what
// stands at each offset.
type content map[string]map[int64]string

// committed reads all there is.
func committed(t *testing.T, b *Broker) content {
	t.Helper()
	all := make(content)
	for _, topic := range b.topics.list() {
		for i, p := range topic.partitions {
			all[fmt.Sprint(topic.name, " ", i)] = committedOf(t, b, p)
		}
	}
	return all
}

func committedOf(t *testing.T, b *Broker, p *partition.Partition) map[int64]string {
	t.Helper()
	found := make(map[int64]string)
	var d batch.Decoder
	for at := p.Start(); ; {
		r, err := p.Read(at, 1000, true, true)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Extents) == 0 {
			return found
		}
		records, err := b.records.load(r.Extents)
		if err == nil {
			err = eachBatch(records, func(one []byte) error {
				h, err := batch.ReadHeader(one)
				if err != nil || h.Attributes.Has(batch.Control) {
					return err
				}
				aborted := func(a partition.Aborted) bool {
					return h.Attributes.Has(batch.Transactional) && a.Producer == h.ProducerID && a.First <= h.BaseOffset && h.BaseOffset <= a.Last
				}
				if slices.ContainsFunc(r.Aborted, aborted) {
					return nil
				}
				for r, err := range d.Records(one) {
					if err != nil {
						return err
					}
					found[h.BaseOffset+int64(r.OffsetDelta)] = fmt.Sprintf("%s=%s", r.Key, r.Value)
				}
				return nil
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		at = r.Extents[len(r.Extents)-1].Last + 1
	}
}

// follows tells whether it is what was there before, but for what compaction took
// from a topic.
func (c content) follows(before content, compacted string) error {
	for name, records := range before {
		if !strings.HasPrefix(name, compacted) {
			if !maps.Equal(c[name], records) {
				return fmt.Errorf("%s: %v, want %v", name, c[name], records)
			}
			continue
		}
		last := make(map[string]int64)
		for _, offset := range slices.Sorted(maps.Keys(records)) {
			key, _, _ := strings.Cut(records[offset], "=")
			last[key] = offset
		}
		for key, offset := range last {
			if c[name][offset] != records[offset] && records[offset] != key+"=" {
				return fmt.Errorf("%s: offset %d is %q, and was %q", name, offset, c[name][offset], records[offset])
			}
		}
		for offset, text := range c[name] {
			if records[offset] != text {
				return fmt.Errorf("%s: offset %d is %q, and was %q", name, offset, text, records[offset])
			}
		}
	}
	return nil
}
