package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker"
	"github.com/hapaxmq/hapax/identity"
)

// TestCausesOfCopies has copies come about as they do in the field, in a topic without
// a window and in one with, while the broker is killed: as many records are read as the
// cause says.
func TestCausesOfCopies(t *testing.T) {
	t.Parallel()
	byHeader := map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000"}
	for _, cause := range []struct {
		name          string
		window        map[string]string
		without, with int // records read
		happens       func(c *causing)
	}{
		{"a producer dies before it marks what it has published, and its successor publishes that again", byHeader, 21, 20, (*causing).diesBeforeMark},
		{"a client gives up waiting, and another one tries again", byHeader, 2, 1, (*causing).givesUp},
		{"a connection ends between write and answer, and a client without idempotence tries again", byHeader, 2, 1, (*causing).connectionEnds},
		{"a range is replayed by hand", byHeader, 30, 20, (*causing).replaysRange},
		{"two producers publish the same events", byHeader, 100, 50, (*causing).twoProducers},
		{"a user sends the same text again within a minute", map[string]string{
			"hapax.identity": "value", "hapax.scope": "header:user", "hapax.window.ms": "60000",
		}, 6, 3, (*causing).sameText},
		{"an id comes again with another payload", byHeader, 2, 1, (*causing).otherPayload},
		{"a consumer handles a record again, and publishes its result again", byHeader, 13, 10, (*causing).handlesAgain},
	} {
		t.Run(cause.name, func(t *testing.T) {
			t.Parallel()
			got := map[bool]int{}
			for _, windowed := range []bool{false, true} {
				c := newCausing(t)
				settings := map[string]string{}
				if windowed {
					settings = cause.window
				}
				c.makeTopic("events", settings)
				cause.happens(c)
				got[windowed] = c.count()
			}
			t.Logf("%d records without a window, %d with one", got[false], got[true])
			if got[false] != cause.without || got[true] != cause.with {
				t.Errorf("want %d and %d", cause.without, cause.with)
			}
		})
	}
}

// causing is a broker, to which applications come.
type causing struct {
	*served
	ctx  context.Context
	http string
}

func newCausing(t *testing.T) *causing {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return &causing{served: serve(t, "--http", l.Addr().String(), "--set", "group.initial.rebalance.delay.ms=0"), ctx: ctx, http: l.Addr().String()}
}

func (c *causing) makeTopic(name string, settings map[string]string) {
	c.Helper()
	set := map[string]*string{}
	for k, v := range settings {
		set[k] = &v
	}
	if _, err := kadm.NewClient(c.client()).CreateTopic(c.ctx, 1, 1, set, name); err != nil {
		c.Fatal(err)
	}
}

// dies kills the broker, and starts it again.
func (c *causing) dies() {
	c.Helper()
	c.kill()
	c.start()
}

func event(id, value string) *kgo.Record {
	return &kgo.Record{Topic: "events", Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "id", Value: []byte(id)}}}
}

func (c *causing) publish(by *kgo.Client, records ...*kgo.Record) {
	c.Helper()
	if err := by.ProduceSync(c.ctx, records...).FirstErr(); err != nil {
		c.Fatal(err)
	}
}

// count is how many records the topic has.
func (c *causing) count() int {
	c.Helper()
	const end = "no more"
	last := event(end, end)
	last.Headers = append(last.Headers, kgo.RecordHeader{Key: "user", Value: []byte(end)})
	c.publish(c.client(), last)
	reader := c.client(kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for n := 0; ; {
		fetches := reader.PollFetches(c.ctx)
		if err := fetches.Err(); err != nil {
			c.Fatal(err)
		}
		for _, r := range fetches.Records() {
			if string(r.Value) == end {
				return n
			}
			n++
		}
	}
}

// diesBeforeMark: an outbox of twenty rows, each of which is marked when it is
// published.
func (c *causing) diesBeforeMark() {
	published := map[int]bool{}
	relay := func(diesAt int) {
		client := c.client()
		defer client.Close()
		for row := range 20 {
			if published[row] {
				continue
			}
			c.publish(client, event(strconv.Itoa(row), fmt.Sprint("row ", row)))
			if row == diesAt {
				return
			}
			published[row] = true
		}
	}
	relay(9)
	c.dies()
	relay(-1)
}

// givesUp: the broker has the record, and its answer is lost.
func (c *causing) givesUp() {
	var fault faultyDialer
	fault.want.Store(true)
	first := c.client(kgo.Dialer(fault.dial), kgo.ProduceRequestTimeout(time.Hour), kgo.RequestTimeoutOverhead(time.Minute))
	fault.silent = true
	first.Produce(c.ctx, event("1", "paid"), func(*kgo.Record, error) {})
	c.await(&fault)
	first.Close()
	c.dies()
	c.publish(c.client(), event("1", "paid"))
}

// connectionEnds: the client learns that its connection has ended, and tries again.
func (c *causing) connectionEnds() {
	var fault faultyDialer
	fault.want.Store(true)
	client := c.client(kgo.Dialer(fault.dial), kgo.DisableIdempotentWrite())
	c.publish(client, event("1", "paid"))
	c.await(&fault)
}

func (c *causing) replaysRange() {
	client := c.client()
	for n := range 20 {
		c.publish(client, event(strconv.Itoa(n), fmt.Sprint("event ", n)))
	}
	c.dies()
	reader := c.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"events": {0: kgo.NewOffset().At(5)}}))
	again := c.client()
	for n := 5; n < 15; {
		fetches := reader.PollRecords(c.ctx, 15-n)
		if err := fetches.Err(); err != nil {
			c.Fatal(err)
		}
		for _, r := range fetches.Records() {
			c.publish(again, &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers})
			n++
		}
	}
}

func (c *causing) twoProducers() {
	var publishing sync.WaitGroup
	var half sync.WaitGroup
	half.Add(2)
	for range 2 {
		client := c.client()
		publishing.Go(func() {
			for n := range 50 {
				if n == 25 {
					half.Done()
				}
				if err := client.ProduceSync(c.ctx, event(strconv.Itoa(n), fmt.Sprint("event ", n))).FirstErr(); err != nil {
					c.Error(err)
				}
			}
		})
	}
	half.Wait()
	c.dies()
	publishing.Wait()
}

func (c *causing) sameText() {
	says := func(user, text string) {
		client := c.client()
		defer client.Close()
		c.publish(client, &kgo.Record{Topic: "events", Value: []byte(text), Headers: []kgo.RecordHeader{{Key: "user", Value: []byte(user)}}})
	}
	says("ann", `{"text":"hello","to":"all"}`)
	says("ann", `{"text":"hello","to":"all"}`)
	says("bob", `{"text":"hello","to":"all"}`)
	c.dies()
	says("ann", `{"to": "all", "text": "hello"}`) // the same, as another client writes it
	says("bob", `{"text":"hello","to":"all"}`)
	says("ann", `{"text":"bye","to":"all"}`)
}

// otherPayload: what is read is the first, and the other one is counted.
func (c *causing) otherPayload() {
	c.publish(c.client(), event("1", "10 euros"))
	c.dies()
	c.publish(c.client(), event("1", "20 euros"))
	resp, err := http.Get("http://" + c.http + "/api/v1/topics")
	if err != nil {
		c.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := resp.Body.Close(); err != nil {
		c.Error(err)
	}
	var topics []broker.TopicView
	if err == nil {
		err = json.Unmarshal(body, &topics)
	}
	if err != nil || len(topics) != 1 {
		c.Fatalf("%s: %v", body, err)
	}
	if w := topics[0].Window; w != nil && w.Records.Conflicts != 1 {
		c.Errorf("%d conflicts are counted, want 1", w.Records.Conflicts)
	}
}

// handlesAgain: ids of results are derived from those of what was handled. The first
// consumer dies before it commits its last three.
func (c *causing) handlesAgain() {
	jobs := c.client()
	for n := range 10 {
		c.publish(jobs, &kgo.Record{Topic: "jobs", Value: []byte(strconv.Itoa(n))})
	}
	handle := func(from, to int, commit bool) {
		consumer := c.client(kgo.ConsumeTopics("jobs"), kgo.ConsumerGroup("workers"), kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for n := from; n < to; {
			fetches := consumer.PollRecords(c.ctx, to-n)
			if err := fetches.Err(); err != nil {
				c.Fatal(err)
			}
			for _, job := range fetches.Records() {
				id := identity.ChildID(hapax.Identity(job.Value), "result")
				c.publish(consumer, event(id, "result of "+string(job.Value)))
				if n++; commit || n <= to-3 {
					if err := consumer.CommitRecords(c.ctx, job); err != nil {
						c.Fatal(err)
					}
				}
			}
		}
		consumer.Close()
	}
	handle(0, 8, false)
	c.dies()
	handle(5, 10, true)
}

// await returns when the fault was there.
func (c *causing) await(f *faultyDialer) {
	c.Helper()
	for tick := time.NewTicker(5 * time.Millisecond); f.want.Load(); {
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			c.Fatal("nothing was written")
		}
	}
}

// faultyDialer dials connections of which one loses the answer to a write of records,
// which the broker has given.
type faultyDialer struct {
	want   atomic.Bool // it is yet to be lost
	silent bool        // and nothing is heard then; else the connection ends
}

func (f *faultyDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	return &faultyConn{Conn: conn, dialer: f}, err
}

type faultyConn struct {
	net.Conn
	dialer *faultyDialer
	wrote  atomic.Bool // records
}

func (c *faultyConn) Write(b []byte) (int, error) {
	if len(b) > 8 && b[4] == 0 && b[5] == 0 { // the key of Produce
		c.wrote.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *faultyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil || !c.wrote.Load() || !c.dialer.want.CompareAndSwap(true, false) {
		return n, err
	}
	for c.dialer.silent && err == nil {
		_, err = c.Conn.Read(b)
	}
	_ = c.Close() // that is the fault
	return 0, io.EOF
}
