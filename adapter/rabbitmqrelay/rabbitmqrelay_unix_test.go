//go:build unix

package rabbitmqrelay_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/rabbitmq"
	"github.com/hapaxmq/hapax/adapter/rabbitmqrelay"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/deliverytest"
	"github.com/hapaxmq/hapax/internal/relaytest"
	"github.com/hapaxmq/hapax/internal/servertest"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// options are those of all these tests: the audit wants the keys.
var options = rabbitmqrelay.Options{KeyHeader: "key"}

func TestMain(m *testing.M) {
	os.Exit(relaytest.Main(m, func(server string, m *relaytest.Mortal) (relay.Destination, error) {
		o := options
		o.Config.Dial = m.Dial
		server, o.Exchange, _ = strings.Cut(server, "|")
		return rabbitmqrelay.New(server, o)
	}))
}

// queue is one of a test's own.
type queue struct {
	*testing.T

	url, name string
}

// declare makes a queue, whose name ends as given.
func declare(t *testing.T, url string, args amqp.Table, end ...string) *queue {
	t.Helper()
	q := &queue{T: t, url: url, name: fmt.Sprintf("%s-%d%s", t.Name(), os.Getpid(), strings.Join(end, ""))}
	ch := q.channel()
	_, err := ch.QueueDeclare(q.name, true, false, false, false, args)
	q.must(err)
	t.Cleanup(func() {
		_, err := q.channel().QueueDelete(q.name, false, false, false)
		q.must(err)
	})
	return q
}

func (q *queue) must(err error) {
	q.Helper()
	if err != nil {
		q.Fatal(err)
	}
}

// channel opens one that ends with the test.
func (q *queue) channel() *amqp.Channel {
	q.Helper()
	conn, err := amqp.Dial(q.url)
	q.must(err)
	q.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	q.must(err)
	return ch
}

func (q *queue) to(url string, o rabbitmqrelay.Options) relay.Destination {
	q.Helper()
	d, err := rabbitmqrelay.New(url, o)
	q.must(err)
	return d
}

// messages takes all that the queue has.
func (q *queue) messages() (all []amqp.Delivery) {
	q.Helper()
	ch := q.channel()
	for {
		d, ok, err := ch.Get(q.name, true)
		q.must(err)
		if !ok {
			return all
		}
		all = append(all, d)
	}
}

// length is how many the queue has.
func (q *queue) length() int {
	q.Helper()
	state, err := q.channel().QueueDeclarePassive(q.name, true, false, false, false, nil)
	q.must(err)
	return state.Messages
}

// audit takes what the queue has, once the outbox is empty, and tells how many there were.
func (q *queue) audit(keys, each int) int {
	q.Helper()
	a := &relaytest.Audit{T: q.T, Keys: keys, Each: each, Repeats: true}
	all := q.messages()
	for _, d := range all {
		a.Take(fmt.Sprint(d.Headers["key"]), d.MessageId, string(d.Body))
	}
	a.Missing()
	return len(all)
}

// TestS42Record: a record is published as it was put, its id as the message's.
func TestS42Record(t *testing.T) {
	t.Parallel()
	q := declare(t, servertest.RabbitMQ(t), nil)
	ch, exchange := q.channel(), q.name+"-exchange"
	q.must(ch.ExchangeDeclare(exchange, "topic", true, true, false, false, nil))
	q.must(ch.QueueBind(q.name, "trades.#", exchange, false, nil))
	b := relaytest.NewBox(t, relaytest.SQLite(t))
	headers := []hapax.Header{{Name: "h", Value: []byte("v\n\xff")}, {Name: "nil"}}
	b.Put(t, outbox.Record{Topic: "trades.7", ID: "trade 7", OrderKey: "k", Payload: []byte("p"), Headers: headers}, outbox.Record{Topic: "trades"})
	stop := b.Run(t, q.to(q.url, rabbitmqrelay.Options{Exchange: exchange, KeyHeader: "key"}), relay.Options{})
	b.Drained(t)
	stop()
	all := q.messages()
	slices.SortFunc(all, func(a, b amqp.Delivery) int { return strings.Compare(b.RoutingKey, a.RoutingKey) })
	var got []string
	for _, d := range all {
		if d.DeliveryMode != amqp.Persistent || d.MessageId == "" {
			t.Errorf("mode %d, id %q: want persistent, and an id", d.DeliveryMode, d.MessageId)
		}
		got = append(got, fmt.Sprintf("%s %t %q %q", d.RoutingKey, d.MessageId == "trade 7", d.Body, fmt.Sprint(d.Headers)))
	}
	want := []string{`trades.7 true "p" "map[h:v\n\xff key:k nil:<nil>]"`, `trades false "" "map[]"`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestS44Killed: a relay is killed at each step. Each record is in the queue, its copies have its
// id, and first copies are in order of their keys. Behind an inbox each takes effect once.
func TestS44Killed(t *testing.T) {
	t.Parallel()
	q := declare(t, servertest.RabbitMQ(t), nil)
	tee := declare(t, q.url, nil, "-inbox")
	ch, exchange := q.channel(), q.name+"-exchange"
	q.must(ch.ExchangeDeclare(exchange, "fanout", true, true, false, false, nil))
	q.must(ch.QueueBind(q.name, "", exchange, false, nil))
	q.must(ch.QueueBind(tee.name, "", exchange, false, nil))
	b := relaytest.NewBox(t, relaytest.SQLite(t))
	const keys, rounds = 8, 6
	for i, step := range relaytest.Steps() {
		b.PutRounds(t, "any", keys, i*rounds, rounds)
		b.Die(t, step, q.url+"|"+exchange)
	}
	o := options
	o.Exchange = exchange
	stop := b.Run(t, q.to(q.url, o), relay.Options{})
	b.Drained(t)
	stop()
	records := keys * len(relaytest.Steps()) * rounds
	if came := q.audit(keys, len(relaytest.Steps())*rounds); came == records {
		t.Error("no record came again, though a relay was killed before it could mark")
	}
	tee.once(records)
}

// once takes all messages to an inbox, and counts their effects.
func (q *queue) once(records int) {
	q.Helper()
	book := deliverytest.New(q.T, "message-id")
	in, err := book.Inbox(q.Context(), inbox.Transacted, nil)
	q.must(err)
	conn, err := amqp.Dial(q.url)
	q.must(err)
	c, err := rabbitmq.New(conn, in, rabbitmq.Options{Queue: q.name})
	q.must(err)
	ctx, end := context.WithCancel(q.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	count := func(what string) (n int) {
		q.must(book.DB.QueryRowContext(q.Context(), "SELECT count("+what+") FROM effects").Scan(&n))
		return n
	}
	for began := time.Now(); q.length() > 0 || count("*") < records; <-time.After(5 * time.Millisecond) {
		if time.Since(began) > relaytest.Patience {
			q.Fatalf("%d effects of %d records", count("*"), records)
		}
	}
	end()
	q.must(<-ended)
	q.must(conn.Close())
	if all, different := count("*"), count("DISTINCT message"); all != records || different != records {
		q.Errorf("%d effects of %d messages, want %d", all, different, records)
	}
}

// written waits until the queue is in a file, and its transaction behind it: RabbitMQ answers for a queue
// before either, and one that starts without the second forgets the first.
func (q *queue) written(dir string) {
	q.Helper()
	for began := time.Now(); time.Since(began) < relaytest.Patience; <-time.After(20 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(dir, "*", "LATEST.LOG"))
		q.must(err)
		for _, file := range files {
			log, err := os.ReadFile(file)
			q.must(err)
			if at := bytes.LastIndex(log, []byte(q.name)); at >= 0 && bytes.Contains(log[at:], []byte("committed")) {
				return
			}
		}
	}
	q.Fatal("the queue is in no file")
}

// TestS44TwoRelays: while writers put and the server is killed, two relays share the shards, one
// of which ends in the middle.
func TestS44TwoRelays(t *testing.T) {
	t.Parallel()
	server := servertest.StartRabbitMQ(t)
	url := "amqp://guest:guest@" + server.Addr + "/"
	q := declare(t, url, nil)
	q.written(server.Dir)
	b := relaytest.NewBox(t, relaytest.Places()["postgres"](t))
	const keys, each = 6, 60
	stop := b.TwoRelays(t, q.name, keys, each, func() relay.Destination { return q.to(url, options) }, func() {
		server.Kill()
		server.Start()
	})
	b.Drained(t)
	stop()
	q.audit(keys, each)
}

// TestUnsealed: nothing is sent before the database has the batch for good.
func TestUnsealed(t *testing.T) {
	t.Parallel()
	q := declare(t, servertest.RabbitMQ(t), nil)
	relaytest.NewBox(t, relaytest.SQLite(t)).Unsealed(t, q.name, q.to(q.url, options))
	if n := q.length(); n > 0 {
		t.Errorf("%d messages came", n)
	}
}

// TestS43LateCommit: a record whose transaction commits behind others that are published
// already is published too.
func TestS43LateCommit(t *testing.T) {
	t.Parallel()
	q := declare(t, servertest.RabbitMQ(t), nil)
	b := relaytest.NewBox(t, relaytest.Places()["postgres"](t))
	commit := b.PutLate(t, q.name)
	stop := b.Run(t, q.to(q.url, options), relay.Options{})
	defer stop()
	b.Drained(t)
	commit()
	b.Drained(t)
	if all := q.messages(); len(all) != 2 || string(all[0].Body) != "early" || string(all[1].Body) != "late" {
		t.Errorf("%d messages came, want early and late", len(all))
	}
}

// TestS45Unanswered: records whose confirmations are lost are not marked, and published again
// under their ids; those that were confirmed are not.
func TestS45Unanswered(t *testing.T) {
	t.Parallel()
	q := declare(t, servertest.RabbitMQ(t), nil)
	b := relaytest.NewBox(t, relaytest.SQLite(t))
	w := relaytest.NewWire(t, strings.TrimSuffix(strings.TrimPrefix(q.url, "amqp://guest:guest@"), "/"))
	o := options
	o.Timeout = 500 * time.Millisecond
	const keys, rounds = 4, 5
	b.PutRounds(t, q.name, keys, 0, rounds)
	stop := b.Run(t, q.to("amqp://guest:guest@"+w.Address+"/", o), relay.Options{MaxPause: 100 * time.Millisecond})
	b.Drained(t)
	lost := w.Lose()
	b.PutRounds(t, q.name, keys, rounds, rounds)
	select {
	case <-lost:
	case <-time.After(relaytest.Patience):
		t.Fatal("nothing was answered")
	}
	// Of each key the first is stored by and by, and the next is never sent.
	for began := time.Now(); q.length() < keys*(rounds+1); <-time.After(5 * time.Millisecond) {
		if time.Since(began) > relaytest.Patience {
			t.Fatalf("%d messages came", q.length())
		}
	}
	if p, err := b.Pending(t.Context()); err != nil || p.Records != keys*rounds || p.Faulty != 0 {
		t.Errorf("%+v is pending, %v: want %d records, for none was confirmed", p, err, keys*rounds)
	}
	w.Mend()
	b.Drained(t)
	stop()
	if came := q.audit(keys, 2*rounds); came < keys*(2*rounds+1) {
		t.Errorf("%d messages came, want %d records and a copy of one for each key", came, keys*2*rounds)
	}
}

// TestS44Refused: records that RabbitMQ refuses hold up those of their keys, and nothing
// else, whether it returns them or closes the channel.
func TestS44Refused(t *testing.T) {
	t.Parallel()
	q := declare(t, servertest.RabbitMQ(t), nil)
	b := relaytest.NewBox(t, relaytest.SQLite(t))
	refused := map[string]string{} // why, by order key
	for _, r := range []struct{ key, topic, payload, header, fault string }{
		{"a", q.name, "a0", "h", ""},
		{"a", q.name, "a1", "CC", "PRECONDITION_FAILED"}, // wants a list
		{"a", q.name, "a2", "h", ""},
		{"c", "nobody-" + q.name, "c0", "h", "NO_ROUTE: no queue takes the routing key"},
		{"c", q.name, "c1", "h", ""},
		{"d", q.name, "d0", "twice", "or there are two of it"},
		{"", q.name, "no", "h", ""},
		{"g", q.name, "g0", "h", ""},
		{"g", q.name, "g1", "h", ""},
	} {
		b.Put(t, outbox.Record{Topic: r.topic, OrderKey: r.key, Payload: []byte(r.payload), Headers: []hapax.Header{{Name: r.header, Value: []byte("v")}, {Name: "twice"}}})
		if r.fault != "" {
			refused[r.key] = r.fault
		}
	}
	stop := b.Run(t, q.to(q.url, options), relay.Options{MaxPause: 100 * time.Millisecond})
	b.Until(t, func(p relay.Pending) bool { return p.Faulty == 3 && p.Records == 5 })
	stop()
	faulty, err := b.Faulty(t.Context(), 0, 10)
	q.must(err)
	for _, f := range faulty {
		if want := refused[f.OrderKey]; want == "" || !strings.Contains(f.Fault, want) {
			t.Errorf("key %q: %s, want %q", f.OrderKey, f.Fault, want)
		}
	}
	var got []string
	for _, d := range q.messages() {
		got = append(got, string(d.Body))
	}
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, []string{"a0", "g0", "g1", "no"}) {
		t.Errorf("%q came, want those that are right", got)
	}
}

// TestFull: a queue that rejects for now makes records wait, in their order.
func TestFull(t *testing.T) {
	t.Parallel()
	q := declare(t, servertest.RabbitMQ(t), amqp.Table{"x-max-length": 3, "x-overflow": "reject-publish"})
	b := relaytest.NewBox(t, relaytest.SQLite(t))
	b.PutRounds(t, q.name, 1, 0, 8)
	stop := b.Run(t, q.to(q.url, options), relay.Options{Pause: 5 * time.Millisecond, MaxPause: 20 * time.Millisecond})
	defer stop()
	a := &relaytest.Audit{T: t, Keys: 1, Each: 8, Repeats: true}
	for began := time.Now(); !a.All(); <-time.After(5 * time.Millisecond) {
		for _, d := range q.messages() {
			a.Take(fmt.Sprint(d.Headers["key"]), d.MessageId, string(d.Body))
		}
		if p, err := b.Pending(t.Context()); err != nil || p.Faulty != 0 || time.Since(began) > relaytest.Patience {
			t.Fatalf("%+v is pending, %v", p, err)
		}
	}
	b.Drained(t)
}

// TestWrong: what can't work is an error of the destination or of the line, and says what to do.
func TestWrong(t *testing.T) {
	t.Parallel()
	url := servertest.RabbitMQ(t)
	if _, err := rabbitmqrelay.New("http://localhost", rabbitmqrelay.Options{}); err == nil || !strings.Contains(err.Error(), "want a URL amqp://") {
		t.Errorf("a URL of HTTP: %v", err)
	}
	if _, err := rabbitmqrelay.New(url, rabbitmqrelay.Options{Config: amqp.Config{Recovery: &amqp.Recovery{}}}); err == nil {
		t.Error("a connection that recovers by itself")
	}
	d, err := rabbitmqrelay.New(url, rabbitmqrelay.Options{Exchange: "nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Open(t.Context(), relay.Shard{}); err == nil || !strings.Contains(err.Error(), `exchange "nowhere"`) || !strings.Contains(err.Error(), "make it") {
		t.Errorf("an exchange that is not there: %v", err)
	}
}
