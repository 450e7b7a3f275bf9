package watermill_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	wm "github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"go.uber.org/goleak"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/watermill"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreTopFunction(ownLoop)) }

// ownLoop is what a deduplicator of Watermill leaves behind.
const ownLoop = "github.com/ThreeDotsLabs/watermill/message/router/middleware.(*mapExpiringKeyRepository).cleanOutLoop"

var errDown = errors.New("mail server is down")

// world is a router over channels. Publishing to it returns when the message was
// acknowledged by all handlers.
type world struct {
	testing.TB

	router  *message.Router
	channel *gochannel.GoChannel
}

func newWorld(t *testing.T) *world {
	t.Helper()
	router, err := message.NewRouter(message.RouterConfig{}, wm.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	channel := gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, wm.NopLogger{})
	t.Cleanup(func() {
		if err := errors.Join(router.Close(), channel.Close()); err != nil {
			t.Error(err)
		}
	})
	return &world{t, router, channel}
}

// run runs the router until the test is over.
func (w *world) run() {
	go w.router.Run(context.Background())
	<-w.router.Running()
}

func (w *world) publish(topic, uuid, payload string) {
	w.Helper()
	if err := w.channel.Publish(topic, message.NewMessage(uuid, message.Payload(payload))); err != nil {
		w.Fatal(err)
	}
}

func deduplicator(t *testing.T, o watermill.Options) *watermill.Deduplicator {
	t.Helper()
	l, err := ledger.Open("", ledger.Options{Window: hapax.Window{Unbounded: true}, Digests: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	o.Name, o.Window = "mails", inbox.Forever
	d, err := watermill.NewDeduplicator(l, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// A handler that fails has its message again. Watermill's own deduplicator takes that
// for a copy, and the message is lost.
func TestFailedMessageComesAgain(t *testing.T) {
	for name, c := range map[string]struct {
		middleware message.HandlerMiddleware
		sent       int
	}{
		"Watermill's own": {(&middleware.Deduplicator{KeyFactory: middleware.NewMessageHasherSHA256(1 << 20)}).Middleware, 0},
		"this one":        {deduplicator(t, watermill.Options{}).Middleware, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var tries, sent int
			w.router.AddMiddleware(c.middleware)
			w.router.AddConsumerHandler("send", "mails", w.channel, func(*message.Message) error {
				if tries++; tries == 1 {
					return errDown
				}
				sent++
				return nil
			})
			w.run()
			w.publish("mails", "1", "welcome")
			if sent != c.sent {
				t.Errorf("sent %d mails, want %d", sent, c.sent)
			}
			w.publish("mails", "1", "welcome") // a copy
			if sent != c.sent {
				t.Errorf("sent %d mails after a copy, want %d", sent, c.sent)
			}
		})
	}
}

// A handler that panics, likewise.
func TestPanic(t *testing.T) {
	w := newWorld(t)
	d := deduplicator(t, watermill.Options{})
	tries := 0
	w.router.AddMiddleware(d.Middleware)
	w.router.AddConsumerHandler("send", "mails", w.channel, func(*message.Message) error {
		if tries++; tries == 1 {
			panic("no template")
		}
		return nil
	})
	w.run()
	w.publish("mails", "1", "welcome")
	if s := d.Stats("send"); tries != 2 || s.Outcomes[hapax.Executed] != 1 || s.Outcomes[hapax.Failed] != 1 {
		t.Errorf("%d tries, outcomes %v", tries, s.Outcomes)
	}
}

// Each handler of a topic has marks of its own, though they share the middleware.
func TestTwoHandlers(t *testing.T) {
	w := newWorld(t)
	d := deduplicator(t, watermill.Options{})
	w.router.AddMiddleware(d.Middleware)
	var ran [2]atomic.Int64
	for i := range ran {
		w.router.AddConsumerHandler(fmt.Sprint("send", i), "mails", w.channel, func(*message.Message) error {
			ran[i].Add(1)
			return nil
		})
	}
	w.run()
	w.publish("mails", "1", "welcome")
	w.publish("mails", "1", "welcome")
	for i := range ran {
		if n := ran[i].Load(); n != 1 {
			t.Errorf("handler %d ran %d times", i, n)
		}
		if got := d.Stats(fmt.Sprint("send", i)).Outcomes; got[hapax.Executed] != 1 || got[hapax.Replayed] != 1 {
			t.Errorf("handler %d: outcomes %v", i, got)
		}
	}
}

// flaky is a publisher that fails at first.
type flaky struct {
	mu        sync.Mutex
	failures  int
	published []*message.Message
}

func (f *flaky) Publish(_ string, messages ...*message.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failures > 0 {
		f.failures--
		return errDown
	}
	f.published = append(f.published, messages...)
	return nil
}

func (f *flaky) Close() error { return nil }

// What a handler produced is published though publishing fails after the handler is
// done: with the UUIDs it had, and without running the handler again.
func TestProducedIsNotLost(t *testing.T) {
	w := newWorld(t)
	out := &flaky{failures: 2}
	d := deduplicator(t, watermill.Options{})
	w.router.AddMiddleware(d.Middleware)
	var made []string
	w.router.AddHandler("send", "mails", w.channel, "sent", out, func(m *message.Message) ([]*message.Message, error) {
		p := message.NewMessage(wm.NewUUID(), message.Payload("sent "+string(m.Payload)))
		p.Metadata.Set("to", "ada")
		made = append(made, p.UUID)
		return []*message.Message{p}, nil
	})
	w.run()
	w.publish("mails", "1", "welcome")
	if len(made) != 1 || len(out.published) != 1 {
		t.Fatalf("the handler ran %d times, and %d messages were published", len(made), len(out.published))
	}
	if p := out.published[0]; p.UUID != made[0] || string(p.Payload) != "sent welcome" || p.Metadata.Get("to") != "ada" {
		t.Errorf("published was %+v", p)
	}
}

// More than can be kept is refused before it is too late.
func TestTooMuchProduced(t *testing.T) {
	d := deduplicator(t, watermill.Options{MaxProduced: 100})
	h := d.Middleware(func(m *message.Message) ([]*message.Message, error) {
		return message.Messages{m}, nil
	})
	if _, err := h(message.NewMessage("1", make([]byte, 100))); err == nil || !strings.Contains(err.Error(), "MaxProduced") {
		t.Error(err)
	}
	if produced, err := h(message.NewMessage("1", make([]byte, 50))); err != nil || len(produced) != 1 {
		t.Error(produced, err)
	}
}

// What another try will not help goes to the poison queue, and nothing else.
func TestDeadLetters(t *testing.T) {
	w := newWorld(t)
	poison := &flaky{}
	queue, err := middleware.PoisonQueueWithFilter(poison, "poison", watermill.IsDeadLetter)
	if err != nil {
		t.Fatal(err)
	}
	tries := 0
	w.router.AddMiddleware(queue, deduplicator(t, watermill.Options{}).Middleware)
	w.router.AddConsumerHandler("send", "mails", w.channel, func(m *message.Message) error {
		if tries++; tries == 1 {
			return errDown
		}
		if string(m.Payload) == "bad" {
			return inbox.Permanent(errDown)
		}
		return nil
	})
	w.run()
	w.publish("mails", "1", "welcome")
	w.publish("mails", "1", "another") // the same UUID
	w.publish("mails", "", "welcome")
	w.publish("mails", "2", "bad")
	var got []string
	for _, m := range poison.published {
		got = append(got, m.Metadata.Get(middleware.ReasonForPoisonedKey))
	}
	for i, want := range []string{hapax.Conflicted.String(), hapax.Nameless.String(), hapax.Failed.String()} {
		if len(got) != 3 || !strings.Contains(got[i], want) {
			t.Fatalf("in the poison queue are %q, want %q as number %d", got, want, i)
		}
	}
}

// The handler is told if it loses its claim, and messages keep their context.
func TestContexts(t *testing.T) {
	d := deduplicator(t, watermill.Options{})
	m := message.NewMessage("1", nil)
	before := m.Context()
	_, err := d.Middleware(func(m *message.Message) ([]*message.Message, error) {
		if m.Context() == before || inbox.ChildID(m.Context(), "step") == "" {
			t.Error("the handler has not the inbox's context")
		}
		return nil, nil
	})(m)
	if err != nil || m.Context() != before {
		t.Error("the message has another context now", err)
	}
}

// An inbox of any guarantee can be a router's handler. A message that asks for time is
// not given back before.
func TestHandler(t *testing.T) {
	w := newWorld(t)
	tries := 0
	in, err := inbox.AtLeastOnce(inbox.Options{Name: "addresses"}, func(_ context.Context, m *hapax.Message) error {
		if v, _ := m.Header("b"); string(v) != "2" || m.Headers[0].Name != watermill.UUIDHeader {
			t.Errorf("headers are %v", m.Headers)
		}
		if tries++; tries < 3 {
			return inbox.Later(time.Millisecond, errDown)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.router.AddConsumerHandler("set", "addresses", w.channel, watermill.Handler(in))
	w.run()
	m := message.NewMessage("1", nil)
	m.Metadata = message.Metadata{"b": "2", "c": "3"}
	if err := w.channel.Publish("addresses", m); err != nil {
		t.Fatal(err)
	}
	if tries != 3 {
		t.Errorf("%d tries, want 3", tries)
	}
}

func TestOptions(t *testing.T) {
	if _, err := watermill.NewDeduplicator(nil, watermill.Options{}); err == nil {
		t.Error("no ledger, and no error")
	}
	l, err := ledger.Open("", ledger.Options{Window: hapax.Window{Unbounded: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, o := range []watermill.Options{
		{},
		{Options: inbox.Options{Name: "mails"}},
		{Options: inbox.Options{Name: "mails", Window: inbox.Forever}, MaxProduced: -1},
		{Options: inbox.Options{Name: "mails", Window: inbox.Forever, Identity: "nonsense"}},
	} {
		if _, err := watermill.NewDeduplicator(l, o); err == nil {
			t.Errorf("%+v, and no error", o)
		}
	}
}
