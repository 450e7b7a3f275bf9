package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// order is a record of the topic with an id and one of two contents, in one of two
// spellings.
func order(id, content int, spelt bool) *kgo.Record {
	value := fmt.Sprintf(`{"id":%d,"of":%d}`, id, content)
	if spelt {
		value = fmt.Sprintf(`{ "of": %d, "id": %d }`, content, id)
	}
	return &kgo.Record{Topic: "orders", Partition: int32(id % 2), Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "id", Value: fmt.Append(nil, id)}}}
}

// begin begins a transaction.
func (f *fates) begin(id string) *kgo.Client {
	f.Helper()
	c := f.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(id))
	if err := c.BeginTransaction(); err != nil {
		f.Fatal(err)
	}
	return c
}

func (f *fates) sendAll(c *kgo.Client, records ...*kgo.Record) []*kgo.Record {
	f.Helper()
	if err := c.ProduceSync(f.ctx, records...).FirstErr(); err != nil {
		f.Fatal(err)
	}
	return records
}

func newFates(t *testing.T, n *node, duplicates, conflicts, kind string) *fates {
	t.Helper()
	n.makeTopic("copies", 2, nil)
	n.makeTopic("orders", 2, map[string]string{
		"hapax.identity": "header:id", "hapax.window.ms": "315360000000", "hapax.window.kind": kind,
		"hapax.duplicates": duplicates, "hapax.conflicts": conflicts,
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return &fates{
		node: n, ctx: ctx, r: rand.New(rand.NewSource(1)), rules: map[string]string{"duplicate": duplicates, "conflict": conflicts},
		seen: map[int]sighting{}, orders: map[string]kept{}, copies: map[string]kept{},
	}
}

// Of two transactions that write one id the one that commits last has its record
// dealt with as a copy by its own end, also if the node was started anew meanwhile.
// It is too late to refuse it then.
func TestFatesOfLateTransactions(t *testing.T) {
	for i, duplicates := range []string{"drop", "mark", "topic:copies", "reject"} {
		for j, conflicts := range []string{"drop", "accept", "topic:copies", "reject"} {
			t.Run(duplicates+","+conflicts, func(t *testing.T) {
				disk := vfs.NewMem()
				n := startWith(t, func(o *Options) { o.FS = disk })
				testLate(newFates(t, n, duplicates, conflicts, "first"), (i+j)%2 == 0)
			})
		}
	}
}

func testLate(f *fates, restarts bool) {
	f.Helper()
	for matter, fate := range f.rules {
		if fate == "reject" {
			f.rules[matter] = "drop"
		}
	}
	a, b := f.begin("a"), f.begin("b")
	late := f.sendAll(b, order(1, 0, true), order(2, 1, false), order(3, 0, false), order(5, 0, false))
	first := f.sendAll(a, order(1, 0, false), order(2, 0, false))
	late = append(late, f.sendAll(b, order(4, 0, false))...)
	c := f.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	single := f.sendAll(c, order(5, 0, false))
	if restarts {
		f.restart()
	}
	for i, from := range []*kgo.Client{a, b} {
		if err := from.EndTransaction(f.ctx, kgo.TryCommit); err != nil {
			f.Fatal(err)
		}
		if i == 0 && restarts {
			f.restart()
		}
	}
	w := newWriting()
	for i, r := range first {
		f.take(r, []int{0, 0}[i], w)
	}
	f.take(single[0], 0, w)
	for i, r := range late {
		f.take(r, []int{0, 1, 0, 0, 0}[i], w)
	}
	f.settle(w)
	f.check()
	f.restart()
	f.check()
}

// Transactions with the same ids that commit at the same time: one of each has an
// id, and all others name its record.
func TestTransactionsThatCommitAtOnce(t *testing.T) {
	for _, duplicates := range []string{"mark", "topic:copies"} {
		t.Run(duplicates, func(t *testing.T) {
			f := newFates(t, start(t), duplicates, "drop", "first")
			const rounds, writers = 12, 4
			for round := range rounds {
				var at sync.WaitGroup
				for i := range writers {
					at.Go(func() {
						c := f.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(fmt.Sprint("writer", i)))
						defer c.Close()
						err := c.BeginTransaction()
						if err == nil {
							err = c.ProduceSync(f.ctx, order(round, 0, i%2 == 0), order(round+rounds, 0, i%2 == 0)).FirstErr()
						}
						if err = errors.Join(err, c.EndTransaction(f.ctx, kgo.TryCommit)); err != nil {
							t.Error(err)
						}
					})
				}
				at.Wait()
			}
			first := make(map[string]string) // by content
			all, copies := f.read("orders"), f.read("copies")
			for at, k := range all {
				if k.first == "" {
					if first[k.content] != "" {
						t.Errorf("%s is there at %s and %s", k.content, first[k.content], at)
					}
					first[k.content] = at
				}
			}
			for at, k := range copies {
				all[at] = k
			}
			for at, k := range all {
				if k.first != "" && k.first != first[k.content] {
					t.Errorf("%s at %s names %s, and the first is at %s", k.content, at, k.first, first[k.content])
				}
			}
			if len(all) != 2*rounds*writers || len(first) != 2*rounds {
				t.Errorf("%d records, of which %d are first ones", len(all), len(first))
			}
		})
	}
}

// Copies in an open transaction that were marked stay as they are when it commits,
// if the node was started anew meanwhile too: those of records that were there, and
// of its own. A mark that a producer made says nothing.
func TestMarkedOnce(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprint(restarts), func(t *testing.T) {
			f := newFates(t, start(t), "mark", "drop", "first")
			at := func(partition int32, id int) *kgo.Record {
				r := order(id, 0, false)
				r.Partition = partition
				return r
			}
			c := f.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
			f.sendAll(c, at(1, 1)) // 1:0
			a := f.begin("a")
			f.sendAll(a, at(0, 1)) // 0:0, of 1:0
			f.sendAll(a, at(1, 2)) // 1:1
			f.sendAll(a, at(0, 2)) // 0:1, of 1:1
			forged := at(0, 3)     // 0:2
			forged.Headers = append(forged.Headers, kgo.RecordHeader{Key: "hapax-duplicate-of", Value: []byte("1:0")})
			f.sendAll(a, forged)
			if restarts {
				f.restart()
			}
			if err := a.EndTransaction(f.ctx, kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
			f.sendAll(c, at(1, 3), at(1, 2)) // 1:3, of 0:2, and 1:4, of 1:1
			want := map[string][]string{"0:0": {"1:0"}, "0:1": {"1:1"}, "0:2": {"1:0"}, "1:3": {"0:2"}, "1:4": {"1:1"}}
			if got := f.marks("orders", 7); !maps.EqualFunc(got, want, slices.Equal) {
				t.Errorf("marks are %v, want %v", got, want)
			}
		})
	}
}

// marks are what the marks of a topic's records name, by the records' places.
func (n *node) marks(topic string, records int) map[string][]string {
	n.Helper()
	c := n.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer c.Close()
	all := make(map[string][]string)
	for records > 0 {
		fetches := c.PollFetches(n.Context())
		if err := fetches.Err(); err != nil {
			n.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records--
			for _, h := range r.Headers {
				if h.Key == "hapax-duplicate-of" {
					at := place(r.Partition, r.Offset)
					all[at] = append(all[at], string(h.Value))
				}
			}
		})
	}
	return all
}

// A transaction commits late with the content of a first record in another spelling. It
// is a copy of it, unless that is deleted and nobody can compare them: then it goes where
// conflicts go.
func TestLateCopyOfDeletedRecord(t *testing.T) {
	f := newFates(t, start(t), "drop", "topic:copies", "first")
	plain := f.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	orders, copies := f.broker.topics.named("orders"), f.broker.topics.named("copies")
	for id, deleted := range []bool{false, true} {
		late, elsewhere := order(id, 0, true), order(id, 0, false)
		elsewhere.Partition = 1 - late.Partition
		tx := f.begin(fmt.Sprint("late with ", id))
		f.sendAll(tx, late)
		f.sendAll(plain, elsewhere)
		if deleted {
			gone := make(kadm.Offsets)
			gone.AddOffset("orders", elsewhere.Partition, -1, -1)
			if _, err := kadm.NewClient(plain).DeleteRecords(f.ctx, gone); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.EndTransaction(f.ctx, kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		var other int64
		for _, p := range copies.partitions {
			other += p.Limit(false)
		}
		duplicates, conflicts := orders.window.count.duplicates.Load(), orders.window.count.conflicts.Load()
		if want := int64(id); duplicates != 1 || conflicts != want || other != want {
			t.Errorf("deleted %v: %d duplicates, %d conflicts, %d records elsewhere", deleted, duplicates, conflicts, other)
		}
	}
}
