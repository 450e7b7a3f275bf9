package nats_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
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
	t    *testing.T
	url  string
	name string
	conn *client.Conn
	js   jetstream.JetStream
	from jetstream.Consumer
}

// declare makes a stream and its consumer.
func declare(t *testing.T, c jetstream.ConsumerConfig) *stream {
	t.Helper()
	name := strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())
	s := &stream{t: t, url: servertest.NATS(t), name: fmt.Sprintf("%s-%d", name, os.Getpid())}
	var err error
	s.conn, err = client.Connect(s.url)
	s.must(err)
	t.Cleanup(s.conn.Close)
	s.js, err = jetstream.New(s.conn)
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

func (s *stream) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// publish publishes messages, and says what becomes of them if each has its effect once.
func (s *stream) publish(n int) map[string]int {
	s.t.Helper()
	once := make(map[string]int)
	for i := range n {
		id := fmt.Sprintf("m%d", i)
		_, err := s.js.Publish(s.t.Context(), s.name, []byte(id), jetstream.WithMsgID(id))
		s.must(err)
		once[id] = 1
	}
	return once
}

// settled demands that the server waits for nothing, once it has read what was sent.
func (s *stream) settled() *jetstream.ConsumerInfo {
	s.t.Helper()
	ask := time.NewTicker(5 * time.Millisecond)
	defer ask.Stop()
	for until := time.Now().Add(10 * time.Second); ; <-ask.C {
		info, err := s.from.Info(s.t.Context())
		s.must(err)
		if info.NumAckPending == 0 && info.NumPending == 0 {
			return info
		}
		if time.Now().After(until) {
			s.t.Fatalf("%d messages were not delivered, and %d not acknowledged", info.NumPending, info.NumAckPending)
		}
	}
}

// consume runs a consumer until all that w wants is settled.
func (s *stream) consume(w *deliverytest.Watch) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	w.Done = cancel
	c, err := nats.New(s.from, w, nats.Options{Prefetch: 8, Handlers: 4})
	s.must(err)
	s.must(c.Run(ctx))
}

func open(t *testing.T, b *deliverytest.Book, g inbox.Guarantee, effected deliverytest.Effected) *deliverytest.Watch {
	t.Helper()
	in, err := b.Inbox(t.Context(), g, effected)
	if err != nil {
		t.Fatal(err)
	}
	return &deliverytest.Watch{Book: b, Inbox: in}
}

func transacted(t *testing.T, effected deliverytest.Effected) *deliverytest.Watch {
	t.Helper()
	return open(t, deliverytest.New(t, client.MsgIdHdr), inbox.Transacted, effected)
}

// TestAckWaitRunsOut acknowledges each message in a loop that tells nothing of its
// progress, when the server has delivered it again.
func TestAckWaitRunsOut(t *testing.T) {
	t.Parallel()
	s, w := declare(t, jetstream.ConsumerConfig{MaxAckPending: 1}), transacted(t, nil)
	once := s.publish(2)
	next := func() jetstream.Msg {
		msg, err := s.from.Next(jetstream.FetchMaxWait(10 * time.Second))
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
	s.settled()
}

// TestNeverAcks handles messages in a loop that acknowledges none.
func TestNeverAcks(t *testing.T) {
	t.Parallel()
	s, w := declare(t, jetstream.ConsumerConfig{}), transacted(t, nil)
	once := s.publish(5)
	batch, err := s.from.Fetch(len(once))
	s.must(err)
	for msg := range batch.Messages() {
		if _, err := w.Handle(t.Context(), nats.Message(msg)); err != nil {
			t.Error(err)
		}
	}
	w.Book.Audit(t, once)
	again := &deliverytest.Watch{Book: w.Book, Inbox: w.Inbox, Want: len(once)}
	s.consume(again)
	if again.Outcomes[hapax.Replayed] != len(once) {
		t.Errorf("outcomes %v, want %d copies", again.Outcomes, len(once))
	}
	w.Book.Audit(t, once)
	s.settled()
}

// TestInProgress: a handler that takes longer than the ack wait has its message alone.
func TestInProgress(t *testing.T) {
	t.Parallel()
	s := declare(t, jetstream.ConsumerConfig{AckWait: 3 * ackWait}) // a slow machine may be late with one
	told, err := s.conn.SubscribeSync("$JS.ACK." + s.name + ".>")
	s.must(err)
	w := transacted(t, func(string) error {
		for range 4 { // more than an ack wait
			if _, err := told.NextMsg(10 * time.Second); err != nil {
				return err
			}
		}
		return nil
	})
	once := s.publish(1)
	w.Want = 1
	s.consume(w)
	w.Book.Audit(t, once)
	if info := s.settled(); info.Delivered.Consumer != 1 {
		t.Errorf("%d deliveries, want 1", info.Delivered.Consumer)
	}
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
			s, b := declare(t, jetstream.ConsumerConfig{}), deliverytest.New(t, client.MsgIdHdr)
			want := s.publish(5)
			b.Die(t, deliverytest.Death{From: s.url + " " + s.name, Point: c.point, Guarantee: c.guarantee})
			w := open(t, b, c.guarantee, nil)
			w.Want = len(want)
			s.consume(w)
			want[b.First(t)] = c.first
			b.Audit(t, want)
			s.settled()
		})
	}
}

// TestFails: what fails comes again, what fails for good is ended with its reason.
func TestFails(t *testing.T) {
	t.Parallel()
	s := declare(t, jetstream.ConsumerConfig{})
	ended, err := s.conn.SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED." + s.name + ".>")
	s.must(err)
	var mu sync.Mutex
	runs := make(map[string]int)
	w := transacted(t, func(id string) error {
		mu.Lock()
		defer mu.Unlock()
		runs[id]++
		switch {
		case id == "m0":
			return inbox.Permanent(errors.New("the reason is\nthis"))
		case runs[id] == 1:
			return errors.New("not yet")
		}
		return nil
	})
	want := s.publish(4)
	w.Want = len(want)
	s.consume(w)
	delete(want, "m0")
	w.Book.Audit(t, want)
	s.settled()
	advisory, err := ended.NextMsg(10 * time.Second)
	s.must(err)
	if !strings.Contains(string(advisory.Data), "the reason is this") {
		t.Errorf("ended by %s, which tells no reason", advisory.Data)
	}
}

// TestS12HeldIsNoDelivery: a message that comes again by choice, or because it is held
// elsewhere, is no delivery in the eyes of a server that ends messages by their number.
func TestS12HeldIsNoDelivery(t *testing.T) {
	t.Parallel()
	s := declare(t, jetstream.ConsumerConfig{MaxDeliver: 1})
	runs := 0
	w := transacted(t, func(string) error {
		if runs++; runs < 4 {
			return inbox.Later(0, nil)
		}
		return nil
	})
	once := s.publish(1)
	w.Want = 1
	s.consume(w)
	w.Book.Audit(t, once)
	s.settled()
}

// TestPlainLoop takes a stream by the loop of the example.
func TestPlainLoop(t *testing.T) {
	t.Parallel()
	s, w := declare(t, jetstream.ConsumerConfig{}), transacted(t, nil)
	once := s.publish(3)
	for range once {
		msg, err := s.from.Next()
		s.must(err)
		if at := nats.Message(msg).Position; at.Source != s.name || at.Offset < 1 {
			t.Errorf("position %v, want one in %s", at, s.name)
		}
		s.must(consumeOne(t.Context(), w, msg))
	}
	w.Book.Audit(t, once)
	s.settled()
}

// TestNoConsumer: a consumer that is deleted ends the run.
func TestNoConsumer(t *testing.T) {
	s := declare(t, jetstream.ConsumerConfig{})
	c, err := nats.New(s.from, transacted(t, nil), nats.Options{})
	s.must(err)
	s.must(s.js.DeleteConsumer(t.Context(), s.name, s.name))
	if err := c.Run(t.Context()); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("the run ended by %v, want %v", err, jetstream.ErrConsumerNotFound)
	}
}
