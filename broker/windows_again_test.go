package broker

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger"
)

// timedNode is a node whose clock is set, on a disk of its own.
type timedNode struct {
	*fates
	disk *vfs.Mem
	wall atomic.Int64 // Unix ms
}

// startTimed makes the topic, whose ids are remembered for 8 s.
func startTimed(t *testing.T, duplicates, conflicts, kind string) *timedNode {
	t.Helper()
	n := &timedNode{disk: vfs.NewMem()}
	n.wall.Store(time.Now().UnixMilli())
	node := startWith(t, func(o *Options) {
		o.FS, o.Clock = n.disk, func() time.Time { return time.UnixMilli(n.wall.Load()) }
		o.Settings["transaction.max.timeout.ms"] = "86400000"
	})
	n.fates = newFates(t, node, duplicates, conflicts, kind)
	n.alter("orders", map[string]string{"hapax.window.ms": "8000"})
	return n
}

func (n *timedNode) crash() { n.losePower(&n.disk, n.r) }

// In a window that is renewed a copy prolongs its id, in whatever words it says the
// same, and a record in conflict does not: after a power loss too.
func TestWhatProlongsOverPowerLoss(t *testing.T) {
	for _, fates := range []string{"drop drop", "mark drop", "mark accept", "drop topic:copies", "topic:copies topic:copies"} {
		t.Run(fates, func(t *testing.T) {
			duplicates, conflicts, _ := strings.Cut(fates, " ")
			n := startTimed(t, duplicates, conflicts, "renewed")
			c := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
			n.sendAll(c, order(2, 0, false), order(4, 0, false))
			n.wall.Add(5000)
			n.sendAll(c, order(4, 1, false), order(2, 0, true), order(6, 0, false))
			n.crash()
			n.wall.Add(5000)
			n.sendAll(n.client(kgo.RecordPartitioner(kgo.ManualPartitioner())), order(2, 0, false), order(4, 0, false))
			count := &n.broker.topics.named("orders").window.count
			if u, d := count.unique.Load(), count.duplicates.Load(); u != 1 || d != 1 {
				t.Errorf("%d new, %d duplicates, want 1 and 1", u, d)
			}
		})
	}
}

// marks are the headers of the partition 0 of the topic that name first records.
func (n *timedNode) marks() (all []string) {
	n.Helper()
	for b := n.bytesOf("orders"); ; {
		_, rest, found := bytes.Cut(b, []byte(unique.HeaderDuplicateOf))
		if !found {
			return all
		}
		all = append(all, string(rest[1:4])) // behind its length
		b = rest
	}
}

func (n *timedNode) plainly(id string) *kgo.Client {
	n.Helper()
	c := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(id),
		kgo.TransactionTimeout(24*time.Hour), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err := c.BeginTransaction(); err != nil {
		n.Fatal(err)
	}
	return c
}

func (n *timedNode) commit(c *kgo.Client, want ...string) {
	n.Helper()
	if err := c.EndTransaction(n.ctx, kgo.TryCommit); err != nil {
		n.Fatal(err)
	}
	if got := n.marks(); strings.Join(got, " ") != strings.Join(want, " ") {
		n.Errorf("marked as copies of %v, want %v", got, want)
	}
}

// Of a transaction that has an id twice, since copies were only counted when it was
// written, the record is the first that the window is told of first.
func TestFirstOfTransaction(t *testing.T) {
	n := startTimed(t, "mark", "drop", "first")
	n.alter("orders", map[string]string{"hapax.mode": "shadow"})
	c := n.plainly("writer")
	elsewhere := order(2, 0, false)
	elsewhere.Partition = 1
	n.sendAll(c, elsewhere)
	n.sendAll(c, order(2, 0, false), order(2, 0, true))
	n.alter("orders", map[string]string{"hapax.mode": "enforce"})
	n.commit(c, "0:0")
}

// A transaction that commits when the first record with its id has left the window has
// the first itself.
func TestFirstLeavesBeforeCommit(t *testing.T) {
	n := startTimed(t, "mark", "drop", "first")
	n.alter("orders", map[string]string{"hapax.mode": "shadow"})
	n.sendAll(n.client(kgo.RecordPartitioner(kgo.ManualPartitioner())), order(2, 0, true))
	c := n.plainly("writer")
	n.sendAll(c, order(2, 0, false), order(2, 0, true))
	n.alter("orders", map[string]string{"hapax.mode": "enforce"})
	n.wall.Add(20_000)
	n.commit(c, "0:1")
}

// A marked copy in a transaction whose first record has left the window is judged when
// the transaction commits, if the node was started anew, in the order of the offsets.
func TestMarkedIsJudgedInOrder(t *testing.T) {
	n := startTimed(t, "mark", "drop", "first")
	plain := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	n.sendAll(plain, order(2, 0, false))
	c := n.plainly("writer")
	n.sendAll(c, order(2, 0, false), order(4, 0, false))
	n.wall.Add(20_000)
	n.sendAll(plain, order(2, 0, false), order(4, 0, false))
	n.restart()
	n.alter("orders", map[string]string{"hapax.duplicates": "topic:copies"})
	n.commit(c)
	copies := n.read("copies")
	for origin, first := range map[string]string{"orders:0:1": "0:3", "orders:0:2": "0:4"} {
		if got := copies[origin]; got.first != first {
			t.Errorf("%s is a copy of %q, want %s", origin, got.first, first)
		}
	}
}

// A window's time goes on from when it was begun: over a power loss too, before which
// nothing was written to it, while the machine's clock is set back.
func TestTimeGoesOnFromBeginOfWindow(t *testing.T) {
	n := startTimed(t, "drop", "drop", "first")
	n.wall.Add(20_000)
	n.makeTopic("late", 1, map[string]string{"hapax.identity": "key", "hapax.window.ms": "8000"})
	n.wall.Add(-20_000)
	n.crash()
	for range 2 {
		n.sendAll(n.client(), message("late", 1))
		n.wall.Add(10_000)
	}
	if u := n.broker.topics.named("late").window.count.unique.Load(); u != 2 {
		t.Errorf("%d new, want 2: the id had left", u)
	}
}

// A large window's ledger is closed with an image of its table, and with the time by
// then, to which nothing was appended: the node's time goes on from there, though the
// machine's clock is set back. Else what comes would stay for longer by the step.
func TestTimeGoesOnFromCloseOfWindow(t *testing.T) {
	n := startTimed(t, "drop", "drop", "first")
	n.sendAll(n.client(), message("orders", 1))
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	dir := n.broker.topics.named("orders").window.dir
	is, err := ledger.Inspect(n.disk, dir)
	if err != nil {
		t.Fatal(err)
	}
	large, err := ledger.Open(dir, ledger.Options{
		Window: is.Window, Identity: is.Identity, Scope: is.Scope, Digests: is.Digests, Details: true, FS: n.disk, QuickStart: 1,
		Follows: func() error { return nil }, Clock: func() time.Time { return time.UnixMilli(n.wall.Load() + 5_000) },
	})
	if err == nil {
		err = large.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	n.start()
	n.sendAll(n.client(), message("orders", 1), message("orders", 2))
	n.wall.Add(8_500)
	n.sendAll(n.client(), message("orders", 1), message("orders", 2))
	count := &n.broker.topics.named("orders").window.count
	if u, d := count.unique.Load(), count.duplicates.Load(); u != 3 || d != 1 {
		t.Errorf("%d new, %d duplicates, want 3 and 1", u, d)
	}
}
