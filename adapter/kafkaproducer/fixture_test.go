package kafkaproducer_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/adapter/kafkaproducer"
	"github.com/hapaxmq/hapax/broker"
)

// patience is how long anything may take in these tests; nothing waits for it that
// goes well.
const patience = 3 * time.Minute

// byID is a topic's window on the ids of producers.
func byID() map[string]*string {
	return map[string]*string{"hapax.identity": kadm.StringPtr("header:id"), "hapax.window.ms": kadm.StringPtr("3600000")}
}

// serve runs a node of hapax in this process, and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	b, err := broker.Open(t.TempDir(), broker.Options{Listeners: []broker.Listener{{Address: "127.0.0.1:0"}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b.Addresses()[0]
}

func connection(addr string, more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(addr), kgo.DisableClientMetrics(), kgo.MetadataMinAge(20 * time.Millisecond), kgo.ProducerLinger(0),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.FetchMaxWait(100 * time.Millisecond),
	}, more...)
}

func newClient(t *testing.T, addr string, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(connection(addr, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func newProducer(t *testing.T, c *kgo.Client, o kafkaproducer.Options) *kafkaproducer.Producer {
	t.Helper()
	p, err := kafkaproducer.New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func makeTopic(t *testing.T, addr, name string, configs map[string]*string) {
	t.Helper()
	if _, err := kadm.NewClient(newClient(t, addr)).CreateTopic(t.Context(), 1, 1, configs, name); err != nil {
		t.Fatal(err)
	}
}

// end is the value, and the id, of the last record that is read.
const end = "no more"

// records reads all of a topic, and writes a last record to know the end by. copies is how
// many offsets before that have no record.
func records(t *testing.T, addr, topic string) (all []*kgo.Record, copies int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := newClient(t, addr, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	last := &kgo.Record{Topic: topic, Value: []byte(end), Headers: []kgo.RecordHeader{{Key: "id", Value: fmt.Append(nil, end, time.Now())}}}
	if err := c.ProduceSync(ctx, last).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for r := range fetches.RecordsAll() {
			if string(r.Value) == end {
				return all, r.Offset - int64(len(all))
			}
			all = append(all, r)
		}
	}
}

func idOf(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == "id" {
			return string(h.Value)
		}
	}
	return ""
}

// deafness dials connections that can be told to hear no answers to what is produced.
type deafness struct {
	mu    sync.Mutex
	armed bool
	deaf  []net.Conn
	lost  chan struct{} // closed when an answer is lost
}

func (d *deafness) arm() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed, d.lost = true, make(chan struct{})
}

// heal ends the connections that hear nothing; others will hear.
func (d *deafness) heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = false
	for _, c := range d.deaf {
		_ = c.Close()
	}
	d.deaf = nil
}

// produces notes that records are written by a connection, and tells whether it is to
// hear nothing more.
func (d *deafness) produces(c net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.armed {
		d.deaf = append(d.deaf, c)
	}
	return d.armed
}

func (d *deafness) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &deafConn{Conn: c, of: d}, nil
}

type deafConn struct {
	net.Conn

	of *deafness

	mu   sync.Mutex
	deaf bool
}

// Write knows requests to produce by their key, which is zero.
func (c *deafConn) Write(b []byte) (int, error) {
	if len(b) > 8 && b[4] == 0 && b[5] == 0 && c.of.produces(c) {
		c.mu.Lock()
		c.deaf = true
		c.mu.Unlock()
	}
	return c.Conn.Write(b)
}

// Read swallows what a connection does not hear, until it ends.
func (c *deafConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		c.mu.Lock()
		deaf := c.deaf
		c.mu.Unlock()
		if err != nil || !deaf {
			return n, err
		}
		c.of.mu.Lock()
		if c.of.lost != nil {
			close(c.of.lost)
			c.of.lost = nil
		}
		c.of.mu.Unlock()
	}
}
