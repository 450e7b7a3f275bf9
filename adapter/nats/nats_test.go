package nats_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/nats"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/deliverytest"
	"github.com/hapaxmq/hapax/internal/servertest"
)

// ackWait is how long the server waits in most of these tests.
const ackWait = 300 * time.Millisecond

func TestMain(m *testing.M) {
	os.Exit(deliverytest.Main(m, func(ctx context.Context, from string, in *deliverytest.Watch) error {
		url, name, _ := strings.Cut(from, " ")
		conn, err := client.Connect(url)
		if err != nil {
			return err
		}
		js, err := jetstream.New(conn)
		if err != nil {
			return err
		}
		consumer, err := js.Consumer(ctx, name, name)
		if err != nil {
			return err
		}
		c, err := nats.New(consumer, in, nats.Options{Handlers: 1})
		if err != nil {
			return err
		}
		return c.Run(ctx)
	}))
}

// stream is one of a test's own, with a consumer of the same name.
type stream struct {
	*testing.T

	url   string
	name  string
	conn  *client.Conn
	js    jetstream.JetStream
	from  jetstream.Consumer
	ended *client.Subscription // to the server's advisories of dead letters
}

// declare makes a stream and its consumer.
func declare(t *testing.T, c jetstream.ConsumerConfig) *stream {
	t.Helper()
	name := strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())
	s := &stream{T: t, url: servertest.NATS(t), name: fmt.Sprintf("%s-%d", name, os.Getpid())}
	var err error
	s.conn, err = client.Connect(s.url)
	s.must(err)
	t.Cleanup(s.conn.Close)
	s.js, err = jetstream.New(s.conn)
	s.must(err)
	s.ended, err = s.conn.SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED." + s.name + ".>")
	s.must(err)
	_, err = s.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: s.name, Subjects: []string{s.name}})
	s.must(err)
	t.Cleanup(func() { s.must(s.js.DeleteStream(context.Background(), s.name)) })
	c.Durable, c.AckPolicy = s.name, jetstream.AckExplicitPolicy
	if c.AckWait == 0 {
		c.AckWait = ackWait
	}
	s.from, err = s.js.CreateConsumer(t.Context(), s.name, c)
	s.must(err)
	return s
}

func source(t *testing.T) deliverytest.Source { return declare(t, jetstream.ConsumerConfig{}) }

func (s *stream) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stream) Header() string { return client.MsgIdHdr }
func (s *stream) From() string   { return s.url + " " + s.name }

func (s *stream) Publish(ids ...string) {
	s.Helper()
	for _, id := range ids {
		_, err := s.js.Publish(s.Context(), s.name, []byte(id), jetstream.WithMsgID(id))
		s.must(err)
	}
}

// info waits until the server has read what was sent, and waits for nothing.
func (s *stream) info() *jetstream.ConsumerInfo {
	s.Helper()
	ask := time.NewTicker(5 * time.Millisecond)
	defer ask.Stop()
	for until := time.Now().Add(time.Minute); ; <-ask.C {
		info, err := s.from.Info(s.Context())
		s.must(err)
		if info.NumAckPending == 0 && info.NumPending == 0 {
			return info
		}
		if time.Now().After(until) {
			s.Fatalf("%d messages were not delivered, and %d not acknowledged", info.NumPending, info.NumAckPending)
		}
	}
}

func (s *stream) Settled() {
	s.Helper()
	s.info()
}

// Dead reads the ids of what was ended from the stream, where it stays.
func (s *stream) Dead(n int) (ids []string) {
	s.Helper()
	stream, err := s.js.Stream(s.Context(), s.name)
	s.must(err)
	for wait := time.Minute; ; {
		if len(ids) >= n {
			wait = 10 * time.Millisecond // for one too many
		}
		advisory, err := s.ended.NextMsg(wait)
		if errors.Is(err, client.ErrTimeout) {
			return ids
		}
		s.must(err)
		var told struct {
			Sequence uint64 `json:"stream_seq"`
			Reason   string `json:"reason"`
		}
		s.must(json.Unmarshal(advisory.Data, &told))
		if told.Reason != "the reason is this" {
			s.Errorf("ended by %q, want the reason", told.Reason)
		}
		msg, err := stream.GetMsg(s.Context(), told.Sequence)
		s.must(err)
		ids = append(ids, string(msg.Data))
	}
}

func (s *stream) Consume(ctx context.Context, in *deliverytest.Watch) error {
	c, err := nats.New(s.from, in, nats.Options{Prefetch: 8, Handlers: 4})
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

func TestHandlerDiesBeforeAck(t *testing.T) {
	t.Parallel()
	deliverytest.HandlerDiesBeforeAck(t, source)
}

// TestAckAfterTimeout acknowledges each message in a loop that tells nothing of its
// progress, when the server has delivered it again.
func TestAckAfterTimeout(t *testing.T) {
	t.Parallel()
	s := declare(t, jetstream.ConsumerConfig{MaxAckPending: 1})
	w := deliverytest.Transacted(t, s, nil)
	once := deliverytest.Once(s, 2)
	next := func() jetstream.Msg {
		msg, err := s.from.Next(jetstream.FetchMaxWait(time.Minute))
		s.must(err)
		return msg
	}
	for range once {
		first := next()
		r, err := w.Handle(t.Context(), nats.Message(first))
		again := next() // the only one that may be outstanding
		s.must(nats.Settle(first, inbox.Settle(r, err), err))
		r, err = w.Handle(t.Context(), nats.Message(again))
		s.must(nats.Settle(again, inbox.Settle(r, err), err))
	}
	if w.Outcomes[hapax.Replayed] != len(once) {
		t.Errorf("outcomes %v, want %d copies", w.Outcomes, len(once))
	}
	w.Book.Audit(t, once)
	s.Settled()
}

// TestNeverAcks handles messages in a loop that acknowledges none.
func TestNeverAcks(t *testing.T) {
	t.Parallel()
	s := declare(t, jetstream.ConsumerConfig{})
	w := deliverytest.Transacted(t, s, nil)
	once := deliverytest.Once(s, 5)
	batch, err := s.from.Fetch(len(once))
	s.must(err)
	for msg := range batch.Messages() {
		if _, err := w.Handle(t.Context(), nats.Message(msg)); err != nil {
			t.Error(err)
		}
	}
	deliverytest.NeverAcked(t, s, w, once)
}

// TestInProgress: a handler that takes longer than the ack wait has its message alone.
func TestInProgress(t *testing.T) {
	t.Parallel()
	s := declare(t, jetstream.ConsumerConfig{AckWait: 3 * ackWait}) // a slow machine may be late with one
	told, err := s.conn.SubscribeSync("$JS.ACK." + s.name + ".>")
	s.must(err)
	w := deliverytest.Transacted(t, s, func(string) error {
		for range 4 { // more than an ack wait
			if _, err := told.NextMsg(time.Minute); err != nil {
				return err
			}
		}
		return nil
	})
	once := deliverytest.Once(s, 1)
	w.Want = 1
	deliverytest.TakeAll(t, s, w)
	w.Book.Audit(t, once)
	if info := s.info(); info.Delivered.Consumer != 1 {
		t.Errorf("%d deliveries, want 1", info.Delivered.Consumer)
	}
}

func TestFails(t *testing.T) {
	t.Parallel()
	deliverytest.Fails(t, declare(t, jetstream.ConsumerConfig{}))
}

func TestS12HeldIsNoDelivery(t *testing.T) {
	t.Parallel()
	deliverytest.HeldIsNoDelivery(t, declare(t, jetstream.ConsumerConfig{MaxDeliver: 1}))
}

// TestPlainLoop takes a stream by the loop of the example.
func TestPlainLoop(t *testing.T) {
	t.Parallel()
	s := declare(t, jetstream.ConsumerConfig{})
	w := deliverytest.Transacted(t, s, nil)
	once := deliverytest.Once(s, 3)
	for range once {
		msg, err := s.from.Next()
		s.must(err)
		if at := nats.Message(msg).Position; at.Source != s.name || at.Offset < 1 {
			t.Errorf("position %v, want one in %s", at, s.name)
		}
		s.must(consumeOne(t.Context(), w, msg))
	}
	w.Book.Audit(t, once)
	s.Settled()
}

// TestNoConsumer: a consumer that is deleted ends the run.
func TestNoConsumer(t *testing.T) {
	s := declare(t, jetstream.ConsumerConfig{})
	c, err := nats.New(s.from, deliverytest.Transacted(t, s, nil), nats.Options{})
	s.must(err)
	s.must(s.js.DeleteConsumer(t.Context(), s.name, s.name))
	if err := c.Run(t.Context()); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("the run ended by %v, want %v", err, jetstream.ErrConsumerNotFound)
	}
}
