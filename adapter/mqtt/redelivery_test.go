package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/eclipse/paho.golang/paho"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/mqtt"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/deliverytest"
	"github.com/hapaxmq/hapax/internal/servertest"
)

func TestHandlerDiesBeforeAck(t *testing.T) {
	t.Parallel()
	for _, qos := range []byte{1, 2} {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			t.Parallel()
			deliverytest.HandlerDiesBeforeAck(t, func(t *testing.T) deliverytest.Source { return declare(t, qos) })
		})
	}
}

// silent is a client that does not tell its broker that it is there.
type silent struct{ paho.Pinger }

func (silent) Run(ctx context.Context, _ net.Conn, _ uint16) error { <-ctx.Done(); return nil }

// TestAckAfterTimeout acknowledges messages in a loop that was silent for so long that
// the broker has closed its connection.
func TestAckAfterTimeout(t *testing.T) {
	t.Parallel()
	s := declare(t, 1)
	w := deliverytest.Transacted(t, s, nil)
	once := deliverytest.Once(s, 3)
	arrived := make(chan *paho.Publish, len(once))
	as := s.o.Connect
	as.KeepAlive = 1
	client := s.connect(paho.ClientConfig{
		OnPublishReceived: into(arrived), EnableManualAcknowledgment: true, PingHandler: silent{paho.NewDefaultPinger()},
	}, as)
	var late []*paho.Publish
	for range once {
		p := s.next(arrived)
		if _, err := w.Handle(t.Context(), mqtt.Message(p)); err != nil {
			t.Error(err)
		}
		late = append(late, p)
	}
	<-client.Done()
	for _, p := range late {
		if err := client.Ack(p); err == nil {
			t.Error("acknowledged on a connection that is lost")
		}
	}
	deliverytest.NeverAcked(t, s, w, once)
}

// TestNeverAcks handles messages in a loop that acknowledges none.
func TestNeverAcks(t *testing.T) {
	t.Parallel()
	for _, qos := range []byte{1, 2} {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			t.Parallel()
			s := declare(t, qos)
			w := deliverytest.Transacted(t, s, nil)
			once := deliverytest.Once(s, 5)
			client, arrived := s.raw(func(*paho.Connect) {})
			for range once {
				if _, err := w.Handle(t.Context(), mqtt.Message(s.next(arrived))); err != nil {
					t.Error(err)
				}
			}
			s.must(client.Disconnect(&paho.Disconnect{}))
			deliverytest.NeverAcked(t, s, w, once)
		})
	}
}

// TestConnectionCut cuts the connection when a message is committed, again and again.
func TestConnectionCut(t *testing.T) {
	t.Parallel()
	for _, qos := range []byte{1, 2} {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			t.Parallel()
			s := declare(t, qos)
			var mu sync.Mutex
			var conn net.Conn
			dial := s.o.Dial
			s.o.Dial = func(ctx context.Context) (net.Conn, error) {
				c, err := dial(ctx)
				mu.Lock()
				defer mu.Unlock()
				conn = c
				return c, err
			}
			w := deliverytest.Transacted(t, s, nil)
			once := deliverytest.Once(s, 20)
			seen := 0
			w.After = func(string) {
				mu.Lock()
				defer mu.Unlock()
				if seen++; seen == 1 || seen == 10 {
					_ = conn.Close()
				}
			}
			w.Want = len(once)
			deliverytest.TakeAll(t, s, w)
			w.Book.Audit(t, once)
			again(t, s, w, once)
		})
	}
}

// again takes what was handled and may not have been acknowledged.
func again(t *testing.T, s *session, w *deliverytest.Watch, once map[string]int) {
	t.Helper()
	s.Publish("end")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// What is left may be in hand beside the end, and one that is cut off is left again.
	next := &deliverytest.Watch{Book: w.Book, Inbox: w.Inbox, Until: "end", Done: cancel}
	s.must(s.Consume(ctx, next))
	if next.Outcomes[hapax.Executed] > 1 {
		t.Errorf("outcomes %v of what was left, want copies", next.Outcomes)
	}
	once["end"] = 1
	w.Book.Audit(t, once)
	s.Settled()
}

// TestTakenOver: another client takes the session over while a handler works, and gets
// its message again. The consumer takes the session back, or ends if the broker tells
// why it has lost it.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	s := declare(t, 1)
	b := deliverytest.New(t, s.Header())
	begun, release := make(chan struct{}), make(chan struct{})
	var first sync.Once
	w := b.Watch(t, inbox.Leased, func(string) error {
		first.Do(func() { close(begun); <-release })
		return nil
	})
	once := deliverytest.Once(s, 5)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.Want, w.Done = len(once), cancel
	ended := make(chan error, 1)
	go func() {
		err := s.Consume(ctx, w)
		for errors.Is(err, mqtt.ErrTakenOver) {
			err = s.Consume(ctx, w)
		}
		ended <- err
	}()
	<-begun
	_, arrived := s.raw(func(*paho.Connect) {})
	if p := s.next(arrived); !p.Duplicate() {
		t.Errorf("message %s comes again without the flag DUP", id(p))
	}
	close(release)
	s.must(<-ended)
	b.Audit(t, once)
	again(t, s, w, once)
}

// TestBrokerRestarts: the broker comes up again with the sessions that it has written.
func TestBrokerRestarts(t *testing.T) {
	t.Parallel()
	server := servertest.StartMosquitto(t)
	s := declareAt(t, server.Addr, 1)
	once := deliverytest.Once(s, 30)
	w := deliverytest.Transacted(t, s, nil)
	var mu sync.Mutex
	seen := 0
	w.After = func(string) {
		mu.Lock()
		defer mu.Unlock()
		if seen++; seen == 10 {
			server.Stop() // before this one is acknowledged
			server.Start()
		}
	}
	w.Want = len(once)
	deliverytest.TakeAll(t, s, w)
	w.Book.Audit(t, once)
	s.other = s.connect(paho.ClientConfig{}, paho.Connect{ClientID: s.name + "-other", CleanStart: true})
	again(t, s, w, once)
}

// TestSessionEnds: what is in a session that has ended is lost, as by its expiry.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	s := declare(t, 1)
	w := deliverytest.Transacted(t, s, nil)
	s.Publish("lost")
	s.end()
	client, _ := s.raw(func(*paho.Connect) {})
	_, err := client.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: s.o.Subscriptions})
	s.must(err)
	s.must(client.Disconnect(&paho.Disconnect{}))
	s.Publish("new")
	w.Want = 1
	deliverytest.TakeAll(t, s, w)
	w.Book.Audit(t, map[string]int{"new": 1})
	s.Settled()
}
