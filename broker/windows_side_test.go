package broker

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Copies that a transaction sends elsewhere are part of it there: open until it ends,
// over a restart too, and gone if it aborts. The producer may write there itself.
func TestCopiesJoinTheirTransaction(t *testing.T) {
	for _, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		f := newFates(t, start(t), "topic:copies", "drop", "first")
		f.sendAll(f.client(kgo.RecordPartitioner(kgo.ManualPartitioner())), order(2, 0, false))
		c := f.begin("writer")
		check := func(high, stable int64) {
			t.Helper()
			p := f.broker.topics.named("copies").partitions[0]
			if h, s := p.Limit(false), p.Limit(true); h != high || s != stable {
				t.Errorf("up to offset %d, and for readers of committed records %d, want %d and %d", h, s, high, stable)
			}
		}
		f.sendAll(c, order(2, 0, true), order(4, 0, true), order(4, 0, true))
		check(2, 0)
		f.restart()
		check(2, 0)
		f.sendAll(c, &kgo.Record{Topic: "copies", Value: []byte("its own")})
		f.sendAll(c, order(2, 0, false))
		check(4, 0)
		if err := c.EndTransaction(f.ctx, commit); err != nil {
			t.Fatal(err)
		}
		check(5, 5)
		f.restart()
		check(5, 5)
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		f.sendAll(c, &kgo.Record{Topic: "copies", Value: []byte("its own")}, order(2, 0, false))
		if err := c.EndTransaction(f.ctx, kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		check(8, 8)
		p := f.broker.topics.named("copies").partitions[0]
		found, err := p.Read(0, 1<<20, true, true)
		if want := 1 - len(found.Aborted); err != nil || bool(commit) != (want == 1) {
			t.Errorf("aborted: %v, %v", found.Aborted, err)
		}
	}
}

// What says the same in JSON as the first record with its id is counted as a copy, and
// else as a conflict, also where both have one fate.
func TestConflictsAreLookedInto(t *testing.T) {
	for _, mode := range []string{"enforce", "shadow"} {
		f := newFates(t, start(t), "drop", "drop", "first")
		f.alter("orders", map[string]string{"hapax.mode": mode})
		c := f.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		f.sendAll(c, order(1, 0, false), order(1, 0, true), order(2, 0, false))
		f.sendAll(c, order(1, 0, true), order(2, 1, false), order(2, 0, false), order(3, 0, false), order(3, 1, true))
		count := &f.broker.topics.named("orders").window.count
		for tick := time.NewTicker(time.Millisecond); count.duplicates.Load()+count.conflicts.Load() < 5; {
			select {
			case <-f.ctx.Done():
				t.Fatal("conflicts are not looked into")
			case <-tick.C:
			}
		}
		if u, d, c := count.unique.Load(), count.duplicates.Load(), count.conflicts.Load(); u != 3 || d != 3 || c != 2 {
			t.Errorf("%s: %d new, %d duplicates, %d conflicts, want 3, 3, 2", mode, u, d, c)
		}
	}
}
