package broker

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// What moves to another file before it is compacted is compacted afterwards, up to
// its last batch, though nobody writes any more.
func TestCompactionOfWhatWasMoved(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.compacted(ctx, "prices", "compact")
	n.alter("prices", map[string]string{"min.cleanable.dirty.ratio": "1"})
	c := n.client()
	for i := range 3 {
		n.put(ctx, c, "prices", "a", fmt.Sprint(i))
	}
	n.fill(ctx, "rolls", 1000) // so that the file is mostly dead
	n.roll(ctx)
	n.clean()
	if n.broker.cleaner.counts.reclaimed.Load() == 0 {
		t.Fatal("nothing was moved")
	}
	n.alter("prices", map[string]string{"min.cleanable.dirty.ratio": "0"})
	n.clean()
	if keys, records := n.table(ctx, "prices", kgo.ReadUncommitted()); records != 2 || keys["a"] != "2" {
		t.Errorf("%d records, want 2: %v", records, keys)
	}
}

// What is regrouped before it is compacted is compacted when max.compaction.lag.ms says
// so, and not when that has passed for the youngest beside it too.
func TestCompactionLagOfWhatWasRegrouped(t *testing.T) {
	clock := newHandClock()
	n, ctx := startWith(t, func(o *Options) { o.Clock = clock.now }), testContext(t)
	n.compacted(ctx, "prices", "compact")
	n.alter("prices", map[string]string{"min.cleanable.dirty.ratio": "1", "segment.bytes": "1073741824", "max.compaction.lag.ms": "600000"})
	c := n.client()
	for range 2 {
		for range 40 {
			if err := c.ProduceSync(ctx, &kgo.Record{Topic: "prices", Key: []byte("a"), Value: []byte("1"), Timestamp: clock.now()}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		clock.pass(4 * time.Minute)
	}
	n.restart()
	n.clean()
	counts := &n.broker.cleaner.counts
	if counts.regrouped.Load() == 0 || counts.passes.Load() > 0 {
		t.Fatalf("%d bytes were regrouped, and %d times something compacted", counts.regrouped.Load(), counts.passes.Load())
	}
	clock.pass(121 * time.Second)
	n.clean()
	if counts.dropped.Load() != 39 {
		t.Errorf("%d records were dropped, want 39 of those that are ten minutes old", counts.dropped.Load())
	}
}

// Records are deleted in the middle of a compaction, before each of its reads: what
// is aborted is shown to nobody, and the next one compacts what is left.
func TestDeletionBesideCompaction(t *testing.T) {
	for read, over := 0, false; !over; read++ {
		t.Run(fmt.Sprint("before read ", read), func(t *testing.T) { over = deleteBesideCompaction(t, read) })
	}
}

// deleteBesideCompaction tells whether the compaction reads less often than that.
func deleteBesideCompaction(t *testing.T, read int) (over bool) {
	ctx, fault := testContext(t), vfs.NewFault(vfs.NewMem(), nil)
	n := &node{T: t, dir: "/node", addr: "127.0.0.1:0", fs: fault}
	n.start()
	defer func() {
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	}()
	n.compacted(ctx, "prices", "compact,delete")
	c, tx := n.client(), n.producer("pricing")
	n.put(ctx, c, "prices", "a", "old")
	if err := tx.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	n.put(ctx, tx, "prices", "b", "aborted")
	if err := tx.EndTransaction(ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	n.put(ctx, c, "prices", "a", "new")
	n.put(ctx, c, "prices", "c", "last")
	p := n.broker.topics.named("prices").partitions[0]
	reads := 0
	fault.SetHook(func(op vfs.Op, _ string) error {
		if op != vfs.OpRead {
			return nil
		}
		if reads++; reads-1 != read {
			return nil
		}
		_, _, err := retention{n.broker}.cutTo(p, 1)
		return err
	})
	for range 2 {
		n.clean()
		fault.SetHook(nil)
		keys, _ := n.table(ctx, "prices", kgo.ReadCommitted())
		if want := map[string]string{"a": "new", "c": "last"}; !maps.Equal(keys, want) {
			t.Errorf("%v, want %v", keys, want)
		}
	}
	if d := (partition.Old{Partition: p}).Dirty(n.broker.clock(), partition.Lags{}); d.FirstDirty {
		t.Errorf("from %d to %d it is not compacted", d.From, d.To)
	}
	return reads <= read
}
