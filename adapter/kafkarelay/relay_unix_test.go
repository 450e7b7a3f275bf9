//go:build unix

package kafkarelay_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/relaytest"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// TestS44TwoRelays: while writers put and the broker is killed, two relays share the shards,
// one of which ends in the middle: each record is published once, and each key in the
// order of its commits.
func TestS44TwoRelays(t *testing.T) {
	t.Parallel()
	for name, at := range relaytest.Places() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			twoRelays(t, startNode(t), relaytest.NewBox(t, at(t)))
		})
	}
}

func twoRelays(t *testing.T, n *node, b *relaytest.Box) {
	t.Helper()
	topic := n.topic(t, "two-"+b.Table, nil)
	const keys, each = 6, 60
	stop := b.TwoRelays(t, topic, keys, each, func() relay.Destination { return to(t, n) }, func() {
		n.kill()
		n.start()
	})
	n.kill()
	n.start()
	audit(t, n, topic, keys, each)
	b.Drained(t)
	stop()
}

// TestS44Refused: records that the broker refuses hold up those of their keys, and nothing
// else, until they are tried again or discarded.
func TestS44Refused(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for name, at := range relaytest.Places() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, n, relaytest.NewBox(t, at(t)))
		})
	}
}

func refused(t *testing.T, n *node, b *relaytest.Box) {
	t.Helper()
	small := n.topic(t, "small-"+b.Table, map[string]*string{"max.message.bytes": kadm.StringPtr("2000")})
	late := "late-" + b.Table
	put := func(topic, key, payload string) {
		b.Put(t, outbox.Record{Topic: topic, OrderKey: key, ID: fmt.Sprint(topic, key, payload[:2]), Payload: []byte(payload)})
	}
	put(small, "a", "a0")
	put(small, "a", "a1"+random(3000)) // a batch of Kafka's may have others beside it
	put(small, "a", "a2")
	put(small, "b", "b0")
	put(late, "c", "c0")
	put(small, "c", "c1")
	put(small, "", "no")
	stop := b.Run(t, to(t, n, kgo.UnknownTopicRetries(0)), relay.Options{MaxPause: 100 * time.Millisecond})
	defer func() { stop() }()
	b.Until(t, func(p relay.Pending) bool { return p == relay.Pending{Records: 4, Faulty: 2, Oldest: p.Oldest} })
	if got := n.values(t, 3, small); !got["a0"] || !got["b0"] || !got["no"] {
		t.Errorf("%v came beside the faulty ones", got)
	}

	faulty, err := b.Faulty(t.Context(), 0, 10)
	if err != nil || len(faulty) != 2 || faulty[0].OrderKey != "a" || faulty[0].Topic != small || faulty[1].Topic != late ||
		!strings.Contains(faulty[0].Fault, "MESSAGE_TOO_LARGE") || !strings.Contains(faulty[1].Fault, ": make topic ") {
		t.Fatalf("faulty are %+v, %v", faulty, err)
	}
	put(small, "a", "a3") // waits too
	put(small, "d", "d0")
	n.topic(t, late, nil)
	if done, err := b.Retry(t.Context(), faulty[1].Position, 1<<40); done != 1 || err != nil {
		t.Errorf("tried %d again, %v", done, err)
	}
	if got := n.values(t, 6, small, late); !got["c0"] || !got["c1"] || !got["d0"] {
		t.Errorf("%v came after a retry", got)
	}
	if done, err := b.Discard(t.Context(), faulty[0].Position); done != 1 || err != nil {
		t.Errorf("discarded %d, %v", done, err)
	}
	if got := n.values(t, 8, small, late); !got["a2"] || !got["a3"] {
		t.Errorf("%v came after a faulty one was discarded", got)
	}
	b.Drained(t)
}

// random is text that no compression makes shorter than a topic takes.
func random(size int) string {
	text := make([]byte, size)
	for i := range text {
		text[i] = byte(' ' + rand.IntN(90))
	}
	return string(text)
}

// values reads so many records, and returns the values of all.
func (n *node) values(t *testing.T, count int, topics ...string) map[string]bool {
	t.Helper()
	ctx, end := context.WithTimeout(t.Context(), patience)
	defer end()
	r, got := n.reader(t, topics...), map[string]bool{}
	for len(got) < count && ctx.Err() == nil {
		for record := range r.PollFetches(ctx).RecordsAll() {
			if got[string(record.Value)] {
				t.Errorf("%.2q came twice", record.Value)
			}
			got[string(record.Value)] = true
		}
	}
	return got
}

// TestS43LateCommit: a record whose transaction commits behind others, which were put later
// and have been published, is published too.
func TestS43LateCommit(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for name, at := range relaytest.Places() {
		if name == "sqlite" { // which has one writer
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lateCommit(t, n, relaytest.NewBox(t, at(t)))
		})
	}
}

func lateCommit(t *testing.T, n *node, b *relaytest.Box) {
	t.Helper()
	topic := n.topic(t, "late-commit-"+b.Table, nil)
	commit := b.PutLate(t, topic)
	stop := b.Run(t, to(t, n), relay.Options{})
	defer stop()
	n.values(t, 1, topic)
	commit()
	n.values(t, 2, topic)
	b.Drained(t)
}

// TestS42Record: a record is published as it was put, its id in a header.
func TestS42Record(t *testing.T) {
	t.Parallel()
	published(t, startNode(t), relaytest.NewBox(t, relaytest.SQLite(t)))
}

func published(t *testing.T, n *node, b *relaytest.Box) {
	t.Helper()
	topic := n.topic(t, "records-"+b.Table, nil)
	headers := []hapax.Header{{Name: "h", Value: []byte("v")}, {Name: "nil"}}
	b.Put(t, outbox.Record{Topic: topic, ID: "trade 7", OrderKey: "k", Headers: headers})
	stop := b.Run(t, to(t, n), relay.Options{})
	defer stop()
	ctx, end := context.WithTimeout(t.Context(), patience)
	defer end()
	r := n.reader(t, topic).PollRecords(ctx, 1).Records()
	if len(r) != 1 {
		t.Fatal("nothing came")
	}
	got := fmt.Sprintf("%q %v %q", r[0].Key, r[0].Value == nil, r[0].Headers)
	if want := `"k" true [{"id" "trade 7"} {"h" "v"} {"nil" ""}]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
