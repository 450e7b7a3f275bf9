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
	*testing.T

	url  string
	name string
	conn *amqp.Connection
	ch   *amqp.Channel
}

// declare makes a queue, with another one for its dead letters.
func declare(t *testing.T, args amqp.Table) *queue {
	t.Helper()
	q := &queue{T: t, url: servertest.RabbitMQ(t), name: fmt.Sprintf("%s-%d", t.Name(), os.Getpid())}
	q.conn = q.dial()
	ch, err := q.conn.Channel()
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

func source(t *testing.T) deliverytest.Source { return declare(t, nil) }

func (q *queue) dead() string { return q.name + "-dead" }

func (q *queue) must(err error) {
	q.Helper()
	if err != nil {
		q.Fatal(err)
	}
}

// dial opens a connection that ends with the test.
func (q *queue) dial() *amqp.Connection {
	q.Helper()
	conn, err := amqp.Dial(q.url)
	q.must(err)
	q.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (q *queue) Header() string { return "message-id" }
func (q *queue) From() string   { return q.url + " " + q.name }

func (q *queue) Publish(ids ...string) {
	q.Helper()
	for _, id := range ids {
		confirmed, err := q.ch.PublishWithDeferredConfirm("", q.name, false, false, amqp.Publishing{
			MessageId: id, DeliveryMode: amqp.Persistent, Body: []byte(id),
		})
		q.must(err)
		if !confirmed.Wait() {
			q.Fatalf("message %s was not confirmed", id)
		}
	}
}

func (q *queue) Settled() {
	q.Helper()
	state, err := q.ch.QueueDeclarePassive(q.name, true, false, false, false, nil)
	q.must(err)
	if state.Messages != 0 {
		q.Errorf("queue %s has %d messages, want none", q.name, state.Messages)
	}
}

func (q *queue) Dead(n int) (ids []string) {
	q.Helper()
	for until := time.Now().Add(time.Minute); time.Now().Before(until); { // the broker moves them in its own time
		d, ok, err := q.ch.Get(q.dead(), true)
		q.must(err)
		if ok {
			ids = append(ids, d.MessageId)
		} else if len(ids) >= n {
			break
		}
	}
	return ids
}

func (q *queue) Consume(ctx context.Context, in *deliverytest.Watch) error {
	return q.consumeOver(ctx, q.dial(), in)
}

func (q *queue) consumeOver(ctx context.Context, conn *amqp.Connection, in *deliverytest.Watch) error {
	c, err := rabbitmq.New(conn, in, rabbitmq.Options{Queue: q.name, Prefetch: 8, Handlers: 4})
	q.must(err)
	return c.Run(ctx)
}

func TestHandlerDiesBeforeAck(t *testing.T) {
	t.Parallel()
	deliverytest.HandlerDiesBeforeAck(t, source)
}

// TestConnectionLostBeforeAck closes the connection when the first message is
// committed.
func TestConnectionLostBeforeAck(t *testing.T) {
	t.Parallel()
	q := declare(t, nil)
	w := deliverytest.Transacted(t, q, nil)
	once := deliverytest.Once(q, 20)
	conn := q.dial()
	var first sync.Once
	w.Want, w.After = len(once)+1, func(string) { first.Do(func() { _ = conn.Close() }) }
	if err := q.consumeOver(t.Context(), conn, w); !errors.Is(err, amqp.ErrClosed) {
		t.Errorf("the run ended by %v, want %v", err, amqp.ErrClosed)
	}
	w.Want = len(once)
	deliverytest.TakeAll(t, q, w)
	if w.Outcomes[hapax.Replayed] == 0 {
		t.Errorf("outcomes %v, want copies", w.Outcomes)
	}
	w.Book.Audit(t, once)
	q.Settled()
}

// TestAckAfterTimeout keeps an acknowledgement back until the broker has closed the
// channel and delivers the message again.
func TestAckAfterTimeout(t *testing.T) {
	t.Parallel()
	q := declare(t, nil)
	w := deliverytest.Transacted(t, q, nil)
	once := deliverytest.Once(q, 3)
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
	deliverytest.TakeAll(t, q, w)
	if w.Outcomes[hapax.Replayed] == 0 {
		t.Errorf("outcomes %v, want copies", w.Outcomes)
	}
	w.Book.Audit(t, once)
	q.Settled()
}

// TestNeverAcks handles messages in a loop that acknowledges none, which the broker ends
// after a second.
func TestNeverAcks(t *testing.T) {
	t.Parallel()
	q := declare(t, nil)
	w := deliverytest.Transacted(t, q, nil)
	once := deliverytest.Once(q, 3)
	ch, err := q.dial().Channel()
	q.must(err)
	deliveries, err := ch.Consume(q.name, "", false, false, false, false, nil)
	q.must(err)
	for d := range deliveries { // ends when the channel is closed
		if _, err := w.Handle(t.Context(), rabbitmq.Message(&d)); err != nil {
			t.Error(err)
		}
	}
	deliverytest.NeverAcked(t, q, w, once)
}

// TestHeldWhenChannelIsLost: a message that is held takes its place no longer than its channel
// lives. The broker closes that after a second, and delivers it again.
func TestHeldWhenChannelIsLost(t *testing.T) {
	t.Parallel()
	q := declare(t, nil)
	runs := 0
	w := deliverytest.Transacted(t, q, func(string) error {
		if runs++; runs == 1 {
			return inbox.Later(5*time.Minute, nil)
		}
		return nil
	})
	once := deliverytest.Once(q, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	w.Want, w.Done = len(once), cancel
	c, err := rabbitmq.New(q.dial(), w, rabbitmq.Options{Queue: q.name, Prefetch: 1})
	q.must(err)
	q.must(c.Run(ctx))
	w.Book.Audit(t, once)
	q.Settled()
}

func TestFails(t *testing.T) {
	t.Parallel()
	deliverytest.Fails(t, declare(t, nil))
}

func TestS12HeldIsNoDelivery(t *testing.T) {
	t.Parallel()
	deliverytest.HeldIsNoDelivery(t, declare(t, amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": 1}))
}

// TestPlainLoop takes a queue empty by the loop of the example.
func TestPlainLoop(t *testing.T) {
	t.Parallel()
	q := declare(t, nil)
	w := deliverytest.Transacted(t, q, nil)
	once := deliverytest.Once(q, 3)
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
	q.Settled()
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
	c, err := rabbitmq.New(q.dial(), deliverytest.Transacted(t, q, nil), rabbitmq.Options{Queue: q.name + "-none"})
	q.must(err)
	var reason *amqp.Error
	if err := c.Run(t.Context()); !errors.As(err, &reason) || reason.Code != amqp.NotFound {
		t.Errorf("the run ended by %v, want %d", err, amqp.NotFound)
	}
}
