package clients

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const partitions = 6

// TestGroups: members come and go while records are written, and each record is
// handled once, by one of them.
func TestGroups(t *testing.T) {
	t.Parallel()
	n := start(t)
	each(t, "member", func(t *testing.T, c client) {
		membersComeAndGo(t, &node{T: t, address: n.address}, c)
	})
}

// TestConsumerGroups is the same with the consumer protocol (KIP-848), for clients
// whose programs have it.
func TestConsumerGroups(t *testing.T) {
	t.Parallel()
	n := start(t)
	each(t, "consumer protocol", func(t *testing.T, c client) {
		membersComeAndGo(t, &node{T: t, address: n.address}, c, "consumer")
	})
}

// membersComeAndGo has members of a client join a group one after the other, and
// leave. The programs are given more, behind their arguments.
func membersComeAndGo(t *testing.T, n *node, c client, more ...string) {
	topic := "groups-" + c.name
	n.topic(topic, partitions)
	g := newGathering(t, n, topic)
	join := func(name string) *member {
		return g.watch(name, c.run(t, n, append([]string{"member", "group-" + topic, topic}, more...)...))
	}
	g.write(600)
	a := join("a")
	g.await("one member has all partitions", func() bool { return a.assigned == 6 })
	g.keepWriting()
	b := join("b")
	g.await("two members share", func() bool { return a.assigned == 3 && b.assigned == 3 })
	c3 := join("c")
	g.await("three members share", func() bool { return a.assigned == 2 && b.assigned == 2 && c3.assigned == 2 })
	g.awaitMore(200)
	g.leave(a)
	g.await("two members are left", func() bool { return b.assigned == 3 && c3.assigned == 3 })
	g.leave(b)
	g.await("one member is left", func() bool { return c3.assigned == 6 })
	g.awaitMore(200)
	g.stopWriting()
	g.await("all is handled", func() bool { return len(g.handled) == g.written })
	g.leave(c3)
	for number, times := range g.handled {
		if times != 1 {
			t.Errorf("record %d was handled %d times", number, times)
		}
	}
}

// gathering is what the members of a group tell while records are written.
type gathering struct {
	*testing.T
	topic    string
	producer *kgo.Client

	mu      sync.Mutex
	changed *sync.Cond
	handled map[int]int // number of a record to how often
	written int
	stop    bool // no more is to be written
	late    bool // patience is over
	writing sync.WaitGroup
}

// member is one of a gathering, whose lock guards it.
type member struct {
	*program
	assigned int
	told     map[string]int // lines of other kinds, by their first word
	ended    chan struct{}
}

func newGathering(t *testing.T, n *node, topic string) *gathering {
	g := &gathering{T: t, topic: topic, handled: map[int]int{},
		producer: n.client(kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))}
	g.changed = sync.NewCond(&g.mu)
	t.Cleanup(g.stopWriting)
	return g
}

// watch takes in what a member tells until it ends.
func (g *gathering) watch(name string, p *program) *member {
	m := &member{program: p, told: map[string]int{}, ended: make(chan struct{})}
	m.name = name + ": " + p.name
	go func() {
		for line := range p.lines {
			g.mu.Lock()
			g.hear(m, line)
			g.changed.Broadcast()
			g.mu.Unlock()
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		close(m.ended)
		g.changed.Broadcast()
	}()
	return m
}

func (g *gathering) hear(m *member, line string) {
	var word string
	var n int
	if _, err := fmt.Sscan(line, &word, &n); err == nil && word == "assigned" {
		m.assigned = n
		return
	}
	if word == "handled" {
		g.handled[parseLine(g.T, line).number]++
		return
	}
	m.told[word] += max(n, 1)
}

// leave ends a member, and returns when it has ended well.
func (g *gathering) leave(m *member) {
	g.Helper()
	m.leave()
	select {
	case <-m.ended:
		m.end()
	case <-time.After(patience):
		g.Fatalf("%s does not leave within %v", m.name, patience)
	}
}

// await returns when a condition holds, which is checked after each line told.
func (g *gathering) await(what string, holds func() bool) {
	g.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.late = false
	timer := time.AfterFunc(patience, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.late = true
		g.changed.Broadcast()
	})
	defer timer.Stop()
	for !holds() {
		if g.late {
			g.Fatalf("waited %v for: %s (%d written, %d handled)", patience, what, g.written, len(g.handled))
		}
		g.changed.Wait()
	}
}

// awaitMore returns when n more records than now are handled.
func (g *gathering) awaitMore(n int) {
	g.Helper()
	g.mu.Lock()
	target := len(g.handled) + n
	g.mu.Unlock()
	g.await("more is handled", func() bool { return len(g.handled) >= target })
}

// write writes n records more.
func (g *gathering) write(n int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	g.mu.Lock()
	from := g.written
	g.written += n
	g.mu.Unlock()
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Key: fmt.Appendf(nil, "k%d", (from+i)%10), Value: fmt.Append(nil, from+i)}
	}
	if err := g.producer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		g.Errorf("write: %v", err)
	}
}

// keepWriting writes on, at most a few hundred records ahead of the members, until
// stopWriting.
func (g *gathering) keepWriting() {
	g.writing.Go(func() {
		for {
			g.mu.Lock()
			for !g.stop && g.written-len(g.handled) > 300 {
				g.changed.Wait()
			}
			stop := g.stop
			g.mu.Unlock()
			if stop {
				return
			}
			g.write(60)
		}
	})
}

func (g *gathering) stopWriting() {
	g.mu.Lock()
	g.stop = true
	g.changed.Broadcast()
	g.mu.Unlock()
	g.writing.Wait()
}
