package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// compactedTopic is written to and read while its node is killed.
type compactedTopic struct {
	*served
	ctx context.Context

	mu    sync.Mutex
	at    map[int64]string // what was acknowledged, by offset
	newer map[string]int   // the last of each key
	sent  int
}

// A compacted topic has, over kills in the middle of compactions, the last that was
// acknowledged of each key, and each record at the offset that was told.
func TestServeCompactionKill(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c := &compactedTopic{
		served: serve(t, "--set", "log.cleaner.backoff.ms=10,hapax.log.file.bytes=65536"),
		ctx:    ctx, at: make(map[int64]string), newer: make(map[string]int),
	}
	policy, small, ratio := "compact", "1000", "0.2"
	settings := map[string]*string{"cleanup.policy": &policy, "segment.bytes": &small, "min.cleanable.dirty.ratio": &ratio}
	if _, err := kadm.NewClient(c.client()).CreateTopic(ctx, 1, 1, settings, "table"); err != nil {
		t.Fatal(err)
	}
	var over atomic.Bool
	var writing sync.WaitGroup
	writing.Go(func() { c.write(&over) })
	for range 5 {
		for n := c.written() + 200; c.written() < n && ctx.Err() == nil; {
			c.read()
		}
		c.kill()
		c.start()
	}
	over.Store(true)
	writing.Wait()
	for records := c.read(); records > 300; records = c.read() {
		if ctx.Err() != nil {
			t.Fatalf("%d records are left of %d", records, c.sent)
		}
	}
	t.Logf("%d records were written", c.sent)
}

func (c *compactedTopic) written() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent
}

// write writes to some keys by turns until it is over, and notes what is
// acknowledged.
func (c *compactedTopic) write(over *atomic.Bool) {
	client := c.client(kgo.DefaultProduceTopic("table"))
	rng := rand.New(rand.NewSource(1))
	for n := 0; !over.Load(); n++ {
		key := fmt.Sprint("k", rng.Intn(20))
		value := fmt.Sprint(n, " ", strings.Repeat("x", rng.Intn(300)))
		r := &kgo.Record{Key: []byte(key), Value: []byte(value)}
		if err := client.ProduceSync(c.ctx, r).FirstErr(); err != nil {
			c.Errorf("write: %v", err)
			return
		}
		c.mu.Lock()
		c.at[r.Offset], c.newer[key] = value, n
		c.sent++
		c.mu.Unlock()
	}
}

// read reads all there is, and demands what was acknowledged before. It returns how
// many records there are.
func (c *compactedTopic) read() (records int) {
	c.Helper()
	c.mu.Lock()
	want, last := maps.Clone(c.newer), int64(-1)
	for offset := range c.at {
		last = max(last, offset)
	}
	c.mu.Unlock()
	client := c.client(kgo.ConsumeTopics("table"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxPartitionBytes(2000))
	defer client.Close()
	for at := int64(-1); at < last; {
		fetches := client.PollFetches(c.ctx)
		if err := c.ctx.Err(); err != nil {
			c.Fatalf("read up to offset %d of %d: %v", at, last, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if text, ok := c.at[r.Offset]; r.Offset <= at || ok && text != string(r.Value) {
				c.Fatalf("offset %d behind %d: %q, want %q", r.Offset, at, r.Value, text)
			}
			at = r.Offset
			records++
			var n int
			if _, err := fmt.Sscan(string(r.Value), &n); err != nil {
				c.Fatal(err)
			}
			if want[string(r.Key)] <= n {
				delete(want, string(r.Key))
			}
		})
	}
	if len(want) > 0 {
		c.Fatalf("of %v, what was acknowledged is gone", want)
	}
	return records
}
