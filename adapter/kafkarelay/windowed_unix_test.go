//go:build unix

package kafkarelay_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/adapter/kafkarelay"
	"github.com/hapaxmq/hapax/internal/relaytest"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// windowed makes a topic that drops copies, with more settings.
func (n *node) windowed(t *testing.T, name string, more ...string) string {
	t.Helper()
	configs := map[string]*string{"hapax.identity": kadm.StringPtr("header:id"), "hapax.window.ms": kadm.StringPtr("3600000")}
	for _, setting := range more {
		name, value, _ := strings.Cut(setting, "=")
		configs[name] = kadm.StringPtr(value)
	}
	return n.topic(t, name, configs)
}

func toWindowed(t *testing.T, n *node, opts ...kgo.Opt) relay.Destination {
	t.Helper()
	d, err := kafkarelay.NewWindowed(kafkarelay.WindowedOptions{Timeout: time.Second}, append(connection(n.addr), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestS44KilledWindowed: a relay is killed at each step, and the topic has each record once, in order
// of its key, whoever reads.
func TestS44KilledWindowed(t *testing.T) {
	t.Parallel()
	n, b := startNode(t), relaytest.NewBox(t, relaytest.SQLite(t))
	topic := n.windowed(t, "killed")
	const keys, rounds = 8, 6
	for i, step := range relaytest.Steps() {
		b.PutRounds(t, topic, keys, i*rounds, rounds)
		b.Die(t, step, toWindow+n.addr)
	}
	stop := b.Run(t, toWindowed(t, n), relay.Options{Batch: relaytest.Few()})
	b.Drained(t)
	stop()
	audit(t, n, topic, keys, len(relaytest.Steps())*rounds)
}

// TestS44TwoRelaysWindowed: while writers put and the broker is killed, two relays share the
// shards, one of which ends in the middle.
func TestS44TwoRelaysWindowed(t *testing.T) {
	t.Parallel()
	n, b := startNode(t), relaytest.NewBox(t, relaytest.Places()["postgres"](t))
	topic := n.windowed(t, "two")
	const keys, each = 6, 60
	stop := b.TwoRelays(t, topic, keys, each, func() relay.Destination { return toWindowed(t, n) }, func() {
		n.kill()
		n.start()
	})
	n.kill()
	n.start()
	b.Drained(t)
	stop()
	audit(t, n, topic, keys, each)
}

// TestS45Unanswered: records whose acknowledgements are lost are not marked, and published again
// under their ids, of which the topic has each once.
func TestS45Unanswered(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for name, to := range map[string]func(*testing.T, *node, ...kgo.Opt) relay.Destination{"transactions": to, "window": toWindowed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := relaytest.NewBox(t, relaytest.SQLite(t))
			topic := n.windowed(t, "unanswered-"+name)
			w := relaytest.NewWire(t, n.addr)
			dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, w.Address)
			}
			const keys, rounds = 4, 5
			b.PutRounds(t, topic, keys, 0, rounds)
			stop := b.Run(t, to(t, n, kgo.Dialer(dial)), relay.Options{MaxPause: 100 * time.Millisecond})
			b.Drained(t)
			lost := w.Lose()
			b.PutRounds(t, topic, keys, rounds, rounds)
			select {
			case <-lost:
			case <-time.After(patience):
				t.Fatal("nothing was answered")
			}
			if p, err := b.Pending(t.Context()); err != nil || p.Records != keys*rounds || p.Faulty != 0 {
				t.Errorf("%+v is pending, %v: want %d records, for none was acknowledged", p, err, keys*rounds)
			}
			w.Mend()
			w.Cut()
			b.Drained(t)
			stop()
			audit(t, n, topic, keys, 2*rounds)
		})
	}
}

// TestS44RefusedWindowed: records of topics whose window would not drop copies are refused, with
// what to do about it, and so are those that the broker refuses. They hold up those of their keys,
// and nothing else.
func TestS44RefusedWindowed(t *testing.T) {
	t.Parallel()
	n, b := startNode(t), relaytest.NewBox(t, relaytest.SQLite(t))
	good := n.windowed(t, "good", "max.message.bytes=2000")
	faults := map[string]string{ // by topic
		n.topic(t, "plain", nil):                              "has no window, which would drop what comes again: set hapax.identity=header:id there",
		n.windowed(t, "shadow", "hapax.mode=shadow"):          "it has hapax.mode=shadow: want enforce",
		n.windowed(t, "marked", "hapax.duplicates=mark"):      "it has hapax.duplicates=mark: want drop",
		n.windowed(t, "partitions", "hapax.scope=partition"):  "it has hapax.scope=partition: want topic",
		n.windowed(t, "other", "hapax.identity=header:other"): "it has hapax.identity=header:other: want header:id",
		"absent": "topic absent has to be there",
		good:     "MESSAGE_TOO_LARGE",
	}
	for topic := range faults {
		if topic != good {
			b.Put(t, outbox.Record{Topic: topic, OrderKey: topic})
			b.Put(t, outbox.Record{Topic: good, OrderKey: topic})
		}
	}
	b.Put(t, outbox.Record{Topic: good, OrderKey: "large", Payload: []byte(random(3000))})
	for n := range 20 {
		b.Put(t, outbox.Record{Topic: good, OrderKey: "good", Payload: fmt.Append(nil, n)})
	}
	stop := b.Run(t, toWindowed(t, n), relay.Options{MaxPause: 100 * time.Millisecond})
	b.Until(t, func(p relay.Pending) bool { return p.Faulty == 7 && p.Records == 13 })
	stop()
	audit(t, n, good, 1, 20)
	faulty, err := b.Faulty(t.Context(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faulty {
		if want := faults[f.Topic]; !strings.Contains(f.Fault, want) {
			t.Errorf("topic %s: %s, want %q", f.Topic, f.Fault, want)
		}
	}
}

// TestWrongWindowed: options that can't work are refused.
func TestWrongWindowed(t *testing.T) {
	t.Parallel()
	for _, o := range []kafkarelay.WindowedOptions{{IDHeader: "a+b"}, {InFlight: -1}, {Timeout: 1}} {
		if _, err := kafkarelay.NewWindowed(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
