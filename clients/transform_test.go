package clients

import (
	"context"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestTransactions: two members read, transform and write in transactions, of which
// they abort some, and one of them is killed in the middle and started again.
// Who reads committed sees the outcome of each record once.
func TestTransactions(t *testing.T) {
	t.Parallel()
	n := start(t)
	each(t, "transform", func(t *testing.T, c client) {
		n := &node{T: t, address: n.address}
		from, to := "in-"+c.name, "out-"+c.name
		n.topic(from, partitions)
		n.topic(to, partitions)
		g := newGathering(t, n, from)
		g.readCommitted(n, to)
		join := func(id string) *member {
			return g.watch(id, c.run(t, n, "transform", "group-"+from, from, to, c.name+"-"+id))
		}
		g.keepWriting()
		a, b := join("a"), join("b")
		g.await("two members share", func() bool { return a.assigned == 3 && b.assigned == 3 })
		g.await("both commit and abort", func() bool {
			return a.told["committed"] > 0 && b.told["committed"] > 0 && a.told["aborted"] > 0 && b.told["aborted"] > 0
		})
		a.kill()
		a = join("a")
		g.await("two members share again", func() bool { return a.assigned == 3 && b.assigned == 3 })
		g.awaitMore(200)
		g.leave(b)
		g.await("one member is left", func() bool { return a.assigned == 6 })
		g.awaitMore(200)
		g.stopWriting()
		g.await("all is handled", func() bool { return len(g.handled) == g.written })
		g.leave(a)
		for number, times := range g.handled {
			if times != 1 {
				t.Errorf("record %d came out %d times", number, times)
			}
		}
	})
}

// readCommitted counts the records of a topic as handled, until the test ends.
func (g *gathering) readCommitted(n *node, topic string) {
	reader := n.client(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	reading, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	g.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for reading.Err() == nil {
			fetches := reader.PollFetches(reading)
			g.mu.Lock()
			fetches.EachRecord(func(r *kgo.Record) {
				number, err := strconv.Atoi(string(r.Value))
				if err != nil {
					g.Errorf("offset %d of %s holds %q", r.Offset, topic, r.Value)
				}
				g.handled[number]++
			})
			g.changed.Broadcast()
			g.mu.Unlock()
		}
	}()
}
