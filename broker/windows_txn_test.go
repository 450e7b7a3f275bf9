package broker

import (
	"context"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

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
