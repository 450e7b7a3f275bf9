package broker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// node is a broker under test, which can be stopped and started again.
type node struct {
	*testing.T
	dir    string
	stop   func() error
	broker *Broker
	addr   string
	fs     vfs.FS           // nil: the operating system's
	clock  func() time.Time // nil: the operating system's
	adapt  func(*Options)   // nil: as they are
}

func start(t *testing.T) *node { return startWith(t, nil) }

func startWith(t *testing.T, adapt func(*Options)) *node {
	n := &node{T: t, dir: t.TempDir(), addr: "127.0.0.1:0", adapt: adapt}
	n.start()
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func (n *node) start() {
	n.Helper()
	if err := n.open(); err != nil {
		n.Fatal(err)
	}
}

func (n *node) open() error {
	o := Options{
		Listeners: []Listener{{Address: n.addr}},
		Settings:  Settings{"group.initial.rebalance.delay.ms": "0", "group.consumer.heartbeat.interval.ms": "50", "group.consumer.min.heartbeat.interval.ms": "50"},
		FS:        n.fs,
		Clock:     n.clock,
		Logger:    slog.New(slog.NewTextHandler(n.Output(), nil)),
	}
	if n.adapt != nil {
		n.adapt(&o)
	}
	b, err := Open(n.dir, o)
	if err != nil {
		return err
	}
	n.broker, n.addr = b, b.Addresses()[0]
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Serve(ctx) }()
	n.stop = func() error {
		cancel()
		<-done
		return b.Close()
	}
	return nil
}

func (n *node) restart() {
	n.Helper()
	if err := n.stop(); err != nil {
		n.Fatal(err)
	}
	n.start()
}

func (n *node) client(opts ...kgo.Opt) *kgo.Client {
	n.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(n.addr), kgo.AllowAutoTopicCreation()}, opts...)...)
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(c.Close)
	return c
}

// What was acknowledged is read, in order, from the offsets that were told, by a
// group that goes on where it was, over a restart.
func TestProduceAndConsume(t *testing.T) {
	n := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	const count = 1000
	produce := func(from int) {
		c := n.client()
		for i := range count {
			r := &kgo.Record{Topic: "orders", Value: fmt.Append(nil, from+i)}
			c.Produce(ctx, r, func(r *kgo.Record, err error) {
				if err != nil || r.Offset != int64(from+i) {
					t.Errorf("record %d at offset %d: %v", from+i, r.Offset, err)
				}
			})
		}
		if err := c.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	consume := func(from, to int) {
		c := n.client(kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for at := from; at < to; {
			fetches := c.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if string(r.Value) != fmt.Sprint(at) || r.Offset != int64(at) {
					t.Fatalf("record %q at offset %d, want %d", r.Value, r.Offset, at)
				}
				at++
			})
		}
		if err := c.CommitUncommittedOffsets(ctx); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	produce(0)
	consume(0, count)
	n.restart()
	produce(count)
	consume(count, 2*count)
}

// Clients that ask for a topic at once all get it, and none is told that it exists.
func TestMadeByMany(t *testing.T) {
	n := start(t)
	var asking sync.WaitGroup
	for i := range 20 {
		for range 4 {
			asking.Go(func() {
				c := n.client(kgo.DefaultProduceTopic(fmt.Sprint("t", i)))
				if err := c.ProduceSync(t.Context(), kgo.StringRecord("one")).FirstErr(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	asking.Wait()
}

// A directory of something else is left as it is.
func TestOtherDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{Listeners: []Listener{{Address: "127.0.0.1:0"}}}); err == nil || !strings.Contains(err.Error(), `holds "letter"`) {
		t.Errorf("opened: %v", err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("%v: %v", names, err)
	}
}
