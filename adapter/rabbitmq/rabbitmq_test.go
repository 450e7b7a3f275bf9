package rabbitmq_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/rabbitmq"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/deliverytest"
	"github.com/hapaxmq/hapax/internal/servertest"
)

func TestMain(m *testing.M) {
	os.Exit(deliverytest.Main(m, func(ctx context.Context, from string, in *deliverytest.Watch) error {
		url, queue, _ := strings.Cut(from, " ")
		conn, err := amqp.Dial(url)
		if err != nil {
			return err
		}
		c, err := rabbitmq.New(conn, in, rabbitmq.Options{Queue: queue, Handlers: 1})
		if err != nil {
			return err
		}
		return c.Run(ctx)
	}))
}

// queue is one of a test's own.
type queue struct {
	t    *testing.T
	url  string
	name string
	ch   *amqp.Channel
}

// declare makes a queue, with another one for its dead letters.
func declare(t *testing.T, args amqp.Table) *queue {
	t.Helper()
	q := &queue{t: t, url: servertest.RabbitMQ(t), name: fmt.Sprintf("%s-%d", t.Name(), os.Getpid())}
	conn := q.dial()
	ch, err := conn.Channel()
	q.must(err)
	q.ch = ch
	all := amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": q.dead()}
	for name, value := range args {
		all[name] = value
	}
	_, err = ch.QueueDeclare(q.name, true, false, false, false, all)
	q.must(err)
	_, err = ch.QueueDeclare(q.dead(), true, false, false, false, nil)
	q.must(err)
	t.Cleanup(func() {
		for _, name := range []string{q.name, q.dead()} {
			_, err := ch.QueueDelete(name, false, false, false)
			q.must(err)
		}
	})
	q.must(ch.Confirm(false))
	return q
}

func (q *queue) dead() string { return q.name + "-dead" }

func (q *queue) must(err error) {
	q.t.Helper()
	if err != nil {
		q.t.Fatal(err)
	}
}

// dial opens a connection that ends with the test.
func (q *queue) dial() *amqp.Connection {
	q.t.Helper()
	conn, err := amqp.Dial(q.url)
	q.must(err)
	q.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// publish publishes messages, and says what becomes of them if each has its effect once.
func (q *queue) publish(n int) map[string]int {
	q.t.Helper()
	once := make(map[string]int)
	for i := range n {
		id := fmt.Sprintf("m%d", i)
		confirmed, err := q.ch.PublishWithDeferredConfirm("", q.name, false, false, amqp.Publishing{
			MessageId: id, DeliveryMode: amqp.Persistent, Body: []byte(id),
		})
		q.must(err)
		if !confirmed.Wait() {
			q.t.Fatalf("message %s was not confirmed", id)
		}
		once[id] = 1
	}
	return once
}

// holds demands so many messages in a queue.
func (q *queue) holds(name string, n int) {
	q.t.Helper()
	state, err := q.ch.QueueDeclarePassive(name, true, false, false, false, nil)
	q.must(err)
	if state.Messages != n {
		q.t.Errorf("queue %s has %d messages, want %d", name, state.Messages, n)
	}
}

// consume runs a consumer until all that w wants is settled.
func (q *queue) consume(conn *amqp.Connection, w *deliverytest.Watch) error {
	q.t.Helper()
	ctx, cancel := context.WithCancel(q.t.Context())
	defer cancel()
	w.Done = cancel
	c, err := rabbitmq.New(conn, w, rabbitmq.Options{Queue: q.name, Prefetch: 8, Handlers: 4})
	q.must(err)
	return c.Run(ctx)
}

func open(t *testing.T, g inbox.Guarantee, effected deliverytest.Effected) *deliverytest.Watch {
	t.Helper()
	b := deliverytest.New(t, "message-id")
	return &deliverytest.Watch{Book: b, Inbox: reopen(t, b, g, effected)}
}

func reopen(t *testing.T, b *deliverytest.Book, g inbox.Guarantee, effected deliverytest.Effected) *inbox.Inbox {
	t.Helper()
	in, err := b.Inbox(t.Context(), g, effected)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// TestConnectionLostBeforeAck closes the connection when the first message is
// committed.
func TestConnectionLostBeforeAck(t *testing.T) {
	t.Parallel()
	q, w := declare(t, nil), open(t, inbox.Transacted, nil)
	once := q.publish(20)
	conn := q.dial()
	var first sync.Once
	w.Want, w.After = len(once)+1, func(string) { first.Do(func() { _ = conn.Close() }) }
	if err := q.consume(conn, w); !errors.Is(err, amqp.ErrClosed) {
		t.Errorf("the run ended by %v, want %v", err, amqp.ErrClosed)
	}
	w.Want = len(once)
	q.must(q.consume(q.dial(), w))
	if w.Outcomes[hapax.Replayed] == 0 {
		t.Errorf("outcomes %v, want copies", w.Outcomes)
	}
	w.Book.Audit(t, once)
	q.holds(q.name, 0)
}

// TestLateAck keeps an acknowledgement back until the broker has closed the channel and
// delivers the message again.
func TestLateAck(t *testing.T) {
	t.Parallel()
	q, w := declare(t, nil), open(t, inbox.Transacted, nil)
	once := q.publish(3)
	again := make(chan struct{})
	var mu sync.Mutex
	deliveries := make(map[string]int)
	w.Before = func(id string) {
		mu.Lock()
		defer mu.Unlock()
		if deliveries[id]++; id == "m0" && deliveries[id] == 2 {
			close(again)
		}
	}
	var first sync.Once
	w.After = func(id string) {
		if id == "m0" {
			first.Do(func() { <-again })
		}
	}
	w.Want = len(once)
	q.must(q.consume(q.dial(), w))
	if w.Outcomes[hapax.Replayed] == 0 {
		t.Errorf("outcomes %v, want copies", w.Outcomes)
	}
	w.Book.Audit(t, once)
	q.holds(q.name, 0)
}

// TestNeverAcks handles messages in a loop that acknowledges none, which the broker ends
// after a second.
func TestNeverAcks(t *testing.T) {
	t.Parallel()
	q, w := declare(t, nil), open(t, inbox.Transacted, nil)
	once := q.publish(3)
	ch, err := q.dial().Channel()
	q.must(err)
	deliveries, err := ch.Consume(q.name, "", false, false, false, false, nil)
	q.must(err)
	for d := range deliveries { // ends when the channel is closed
		if _, err := w.Handle(t.Context(), rabbitmq.Message(&d)); err != nil {
			t.Error(err)
		}
	}
	w.Book.Audit(t, once)
	w.Inbox = reopen(t, w.Book, inbox.Transacted, nil)
	again := &deliverytest.Watch{Book: w.Book, Inbox: w.Inbox, Want: len(once)}
	q.must(q.consume(q.dial(), again))
	if again.Outcomes[hapax.Replayed] != len(once) {
		t.Errorf("outcomes %v, want %d copies", again.Outcomes, len(once))
	}
	w.Book.Audit(t, once)
	q.holds(q.name, 0)
}

// TestDies kills a process that consumes, and takes up what it left. An effect is
// doubled only where a lease says that it may be: between effect and commit.
func TestDies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		guarantee inbox.Guarantee
		point     deliverytest.Point
		first     int // effects of the message at which it died
	}{
		{inbox.Transacted, deliverytest.AtEffect, 1},
		{inbox.Transacted, deliverytest.AtAck, 1},
		{inbox.Leased, deliverytest.AtEffect, 2},
		{inbox.Leased, deliverytest.AtAck, 1},
	} {
		t.Run(fmt.Sprintf("%v %s", c.guarantee, c.point), func(t *testing.T) {
			t.Parallel()
			q, b := declare(t, nil), deliverytest.New(t, "message-id")
			want := q.publish(5)
			b.Die(t, deliverytest.Death{From: q.url + " " + q.name, Point: c.point, Guarantee: c.guarantee})
			q.must(q.consume(q.dial(), &deliverytest.Watch{Book: b, Inbox: reopen(t, b, c.guarantee, nil), Want: len(want)}))
			want[b.First(t)] = c.first
			b.Audit(t, want)
			q.holds(q.name, 0)
		})
	}
}

// TestFails: what fails comes again, what fails for good goes to the dead letters.
func TestFails(t *testing.T) {
	t.Parallel()
	q := declare(t, nil)
	var mu sync.Mutex
	runs := make(map[string]int)
	w := open(t, inbox.Transacted, func(id string) error {
		mu.Lock()
		defer mu.Unlock()
		runs[id]++
		switch {
		case id == "m0":
			return inbox.Permanent(errors.New("never"))
		case runs[id] == 1:
			return errors.New("not yet")
		}
		return nil
	})
	want := q.publish(4)
	w.Want = len(want)
	q.must(q.consume(q.dial(), w))
	delete(want, "m0")
	w.Book.Audit(t, want)
	q.holds(q.name, 0)
	q.holds(q.dead(), 1)
}

// TestS12HeldIsNoDelivery: a message that comes again by choice, or because it is held
// elsewhere, is no delivery in the eyes of a queue that ends messages by their number.
func TestS12HeldIsNoDelivery(t *testing.T) {
	t.Parallel()
	q := declare(t, amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": 1})
	runs := 0
	w := open(t, inbox.Transacted, func(string) error {
		if runs++; runs < 4 {
			return inbox.Later(0, nil)
		}
		return nil
	})
	once := q.publish(1)
	w.Want = 1
	q.must(q.consume(q.dial(), w))
	w.Book.Audit(t, once)
	q.holds(q.name, 0)
	q.holds(q.dead(), 0)
}

// TestPlainLoop takes a queue empty by the loop of the example.
func TestPlainLoop(t *testing.T) {
	t.Parallel()
	q, w := declare(t, nil), open(t, inbox.Transacted, nil)
	once := q.publish(3)
	ch, err := q.dial().Channel()
	q.must(err)
	for {
		d, ok, err := ch.Get(q.name, false)
		q.must(err)
		if !ok {
			break
		}
		q.must(consumeOne(t.Context(), w, &d))
	}
	w.Book.Audit(t, once)
	q.holds(q.name, 0)
}

// TestMessage reads properties and headers.
func TestMessage(t *testing.T) {
	sent := time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)
	got := rabbitmq.Message(&amqp.Delivery{
		MessageId: "7", CorrelationId: "8", ContentType: "text/plain", RoutingKey: "orders", Timestamp: sent, Body: []byte("body"),
		Headers: amqp.Table{"n": int32(-3), "at": sent, "b": []byte{1}, "f": 0.5, "yes": true, "x-death": []any{amqp.Table{}}, "none": nil},
	})
	want := &hapax.Message{
		Key: []byte("orders"), Value: []byte("body"), Time: sent,
		Headers: []hapax.Header{
			{Name: "message-id", Value: []byte("7")}, {Name: "correlation-id", Value: []byte("8")},
			{Name: "content-type", Value: []byte("text/plain")}, {Name: "at", Value: []byte("2024-02-03T04:05:06Z")},
			{Name: "b", Value: []byte{1}}, {Name: "f", Value: []byte("0.5")}, {Name: "n", Value: []byte("-3")},
			{Name: "yes", Value: []byte("true")},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("message %+v, want %+v", got, want)
	}
}

// TestNoQueue: a queue that is not there ends the run.
func TestNoQueue(t *testing.T) {
	q := declare(t, nil)
	c, err := rabbitmq.New(q.dial(), open(t, inbox.Transacted, nil), rabbitmq.Options{Queue: q.name + "-none"})
	q.must(err)
	var reason *amqp.Error
	if err := c.Run(t.Context()); !errors.As(err, &reason) || reason.Code != amqp.NotFound {
		t.Errorf("the run ended by %v, want %d", err, amqp.NotFound)
	}
}
