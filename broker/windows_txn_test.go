package broker

import (
	"context"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// writers write to a topic with a window, in transactions and without.
type writers struct {
	*node
	ctx  context.Context
	r    *rand.Rand
	open map[int]*openWriter
	is   map[int]bool // ids that are to be read, once
}

// openWriter has a transaction open.
type openWriter struct {
	*kgo.Client
	ids []int
}

// some sends some records with ids of few, in the transaction of a client if it is
// not nil.
func (w *writers) some(c *kgo.Client) (ids []int) {
	w.Helper()
	var records []*kgo.Record
	for range 1 + w.r.Intn(8) {
		id := w.r.Intn(120)
		ids, records = append(ids, id), append(records, message("orders", id))
	}
	if c == nil {
		c = w.client()
		defer c.Close()
	}
	if err := c.ProduceSync(w.ctx, records...).FirstErr(); err != nil {
		w.Fatal(err)
	}
	return ids
}

// step does one thing.
func (w *writers) step() {
	w.Helper()
	n := w.r.Intn(4)
	if w.r.Intn(4) == 0 {
		for _, id := range w.some(nil) {
			w.is[id] = true
		}
		return
	}
	t := w.open[n]
	if t == nil {
		t = &openWriter{Client: w.client(kgo.TransactionalID(fmt.Sprint("writer", n)))}
		if err := t.BeginTransaction(); err != nil {
			w.Fatal(err)
		}
		w.open[n] = t
	}
	if w.r.Intn(3) > 0 {
		t.ids = append(t.ids, w.some(t.Client)...)
		return
	}
	end := kgo.TransactionEndTry(w.r.Intn(3) > 0)
	if err := t.EndTransaction(w.ctx, end); err != nil {
		w.Fatal(err)
	}
	if end == kgo.TryCommit {
		for _, id := range t.ids {
			w.is[id] = true
		}
	}
	t.Close()
	delete(w.open, n)
}

// abandon leaves the open transactions to whoever comes next.
func (w *writers) abandon() {
	for n, t := range w.open {
		t.Close()
		delete(w.open, n)
	}
}

// Of each id that was committed, or written without a transaction, one record is
// there for readers of committed records, and of the ids of aborted transactions
// none: whoever writes it next to whom, over restarts and power losses.
func TestWindowWithTransactions(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for seed := range int64(6) {
		disk := vfs.NewMem()
		n := startWith(t, func(o *Options) { o.FS = disk })
		n.makeTopic("orders", 3, map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000"})
		w := &writers{node: n, ctx: ctx, r: rand.New(rand.NewSource(seed)), open: map[int]*openWriter{}, is: map[int]bool{}}
		for range 80 {
			switch w.r.Intn(40) {
			case 0:
				n.restart()
			case 1:
				crashed := disk.PowerLoss(w.r)
				w.abandon()
				if err := n.stop(); err != nil {
					t.Fatal(err)
				}
				disk = crashed
				n.start()
			default:
				w.step()
			}
		}
		w.abandon()
		for n := range 4 { // whoever comes next aborts what was open
			c := w.client(kgo.TransactionalID(fmt.Sprint("writer", n)))
			if _, _, err := c.ProducerID(ctx); err != nil {
				t.Fatal(err)
			}
		}
		ids := n.idsOf("orders", 3)
		for id := range 120 {
			want := 0
			if w.is[id] {
				want = 1
			}
			if got := ids[fmt.Sprint(id)]; got != want {
				t.Errorf("seed %d: id %d is there %d times, want %d", seed, id, got, want)
			}
		}
	}
}

// The ids of an open transaction whose records are deleted are known once it commits,
// over restarts, and free if it does not. A window that is turned on meanwhile knows
// them too.
func TestDeletedRecordsOfOpenTransactionHaveIDs(t *testing.T) {
	for _, commits := range []bool{true, false} {
		for _, warms := range []bool{true, false} {
			t.Run(fmt.Sprint("commits ", commits, ", warms ", warms), func(t *testing.T) {
				n, ctx := startWith(t, func(o *Options) { o.Settings["hapax.log.file.bytes"] = "65536" }), testContext(t)
				rules := map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000"}
				if warms {
					n.makeTopic("orders", 1, nil)
				} else {
					n.makeTopic("orders", 1, rules)
				}
				n.makeTopic("others", 1, nil)
				c := n.transaction(ctx, "writer", 0, 100)
				gone := make(kadm.Offsets)
				gone.AddOffset("orders", 0, -1, -1)
				if _, err := n.admin().DeleteRecords(ctx, gone); err != nil {
					t.Fatal(err)
				}
				if warms {
					n.alter("orders", rules)
					n.enforced("orders")
				}
				for range 3 { // its file would go
					n.fill(ctx, "others", 1000)
					n.restart()
				}
				if got := n.startOffset(ctx, "orders"); got != 100 {
					t.Errorf("records are kept from offset %d on", got)
				}
				if err := c.EndTransaction(ctx, kgo.TransactionEndTry(commits)); err != nil {
					t.Fatal(err)
				}
				n.restart()
				n.produceSome(ctx, n.client(), 0, 100)
				want := int64(100)
				if commits {
					want = 0
				}
				if got := n.broker.topics.named("orders").window.count.unique.Load(); got != want {
					t.Errorf("%d of 100 ids are free, want %d", got, want)
				}
				old := partition.Old{Partition: n.broker.topics.named("orders").partitions[0]}
				if extents := old.Extents(0, 100, 1<<30); len(extents) > 0 {
					t.Errorf("%d deleted batches are kept", len(extents))
				}
			})
		}
	}
}
