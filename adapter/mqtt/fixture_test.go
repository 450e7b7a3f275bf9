package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/hapaxmq/hapax/adapter/mqtt"
	"github.com/hapaxmq/hapax/internal/deliverytest"
	"github.com/hapaxmq/hapax/internal/servertest"
)

func TestMain(m *testing.M) {
	os.Exit(deliverytest.Main(m, func(ctx context.Context, from string, in *deliverytest.Watch) error {
		words := strings.Fields(from)
		qos, err := strconv.Atoi(words[2])
		if err != nil {
			return err
		}
		o := options(words[0], words[1], byte(qos))
		o.Handlers = 1
		c, err := mqtt.New(in, o)
		if err != nil {
			return err
		}
		return c.Run(ctx)
	}))
}

func options(address, name string, qos byte) mqtt.Options {
	expiry := uint32(3600)
	return mqtt.Options{
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		},
		Connect:       paho.Connect{ClientID: name, Properties: &paho.ConnectProperties{SessionExpiryInterval: &expiry}},
		Subscriptions: []paho.SubscribeOptions{{Topic: name + "/in", QoS: qos}},
		DeadLetters:   name + "/dead",
		Prefetch:      8,
		Handlers:      4,
	}
}

// session is one of a test's own, with a client that publishes to it and reads its
// dead letters.
type session struct {
	*testing.T

	addr, name string
	qos        byte
	o          mqtt.Options
	other      *paho.Client
	dead       chan *paho.Publish
}

// declare makes a session at the broker that tests share.
func declare(t *testing.T, qos byte) *session {
	t.Helper()
	return declareAt(t, servertest.Mosquitto(t), qos)
}

func declareAt(t *testing.T, address string, qos byte) *session {
	t.Helper()
	name := fmt.Sprintf("%s-%d-%d", strings.ReplaceAll(t.Name(), "/", "-"), os.Getpid(), time.Now().UnixNano())
	s := &session{T: t, addr: address, name: name, qos: qos, o: options(address, name, qos), dead: make(chan *paho.Publish, 100)}
	s.end()
	t.Cleanup(func() { s.end() })
	first := s.connect(paho.ClientConfig{}, s.o.Connect)
	_, err := first.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: s.o.Subscriptions})
	s.must(err)
	s.must(first.Disconnect(&paho.Disconnect{}))
	s.other = s.connect(paho.ClientConfig{OnPublishReceived: into(s.dead)}, paho.Connect{ClientID: name + "-other", CleanStart: true})
	_, err = s.other.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: s.o.DeadLetters, QoS: 1}}})
	s.must(err)
	return s
}

// connect connects a client, of which the test may be careless.
func (s *session) connect(c paho.ClientConfig, as paho.Connect) *paho.Client {
	s.Helper()
	conn, err := net.Dial("tcp", s.addr)
	s.must(err)
	s.Cleanup(func() { _ = conn.Close() })
	c.Conn, c.PacketTimeout = conn, time.Minute
	client := paho.NewClient(c)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err = client.Connect(ctx, &as)
	s.must(err)
	return client
}

// end ends the session at the broker, with all that is in it.
func (s *session) end() {
	s.Helper()
	client := s.connect(paho.ClientConfig{}, paho.Connect{ClientID: s.name, CleanStart: true})
	s.must(client.Disconnect(&paho.Disconnect{}))
}

// into hands on what arrives.
func into(arrived chan<- *paho.Publish) []func(paho.PublishReceived) (bool, error) {
	return []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
		arrived <- r.Packet
		return true, nil
	}}
}

// raw connects as the consumer's client, and acknowledges nothing by itself.
func (s *session) raw(change func(*paho.Connect)) (*paho.Client, <-chan *paho.Publish) {
	s.Helper()
	arrived := make(chan *paho.Publish, 100)
	as := s.o.Connect
	change(&as)
	return s.connect(paho.ClientConfig{OnPublishReceived: into(arrived), EnableManualAcknowledgment: true}, as), arrived
}

func (s *session) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *session) Header() string { return "id" }
func (s *session) From() string   { return fmt.Sprintf("%s %s %d", s.addr, s.name, s.qos) }

func (s *session) Publish(ids ...string) {
	s.Helper()
	for _, id := range ids {
		_, err := s.other.Publish(s.Context(), &paho.Publish{
			QoS: s.qos, Topic: s.name + "/in", Payload: []byte("of " + id),
			Properties: &paho.PublishProperties{User: paho.UserProperties{{Key: "id", Value: id}}},
		})
		s.must(err)
	}
}

func (s *session) Consume(ctx context.Context, in *deliverytest.Watch) error {
	c, err := mqtt.New(in, s.o)
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// Settled publishes one more message, which must be the first to arrive.
func (s *session) Settled() {
	s.Helper()
	s.Publish("last")
	arrived := make(chan *paho.Publish, 100)
	client := s.connect(paho.ClientConfig{OnPublishReceived: into(arrived)}, s.o.Connect)
	if id := id(s.next(arrived)); id != "last" {
		s.Errorf("message %s is left", id)
	}
	s.must(client.Disconnect(&paho.Disconnect{}))
}

func (s *session) Dead(n int) (ids []string) {
	s.Helper()
	for range n {
		p := s.next(s.dead)
		if string(p.Payload) != "of "+id(p) || p.Properties.User.Get(mqtt.PropertyTopic) != s.name+"/in" || p.Properties.User.Get(mqtt.PropertyError) == "" {
			s.Errorf("dead letter %v: want what it was, and why it is here", p)
		}
		ids = append(ids, id(p))
	}
	return ids
}

// next waits for a message.
func (s *session) next(arrived <-chan *paho.Publish) *paho.Publish {
	s.Helper()
	select {
	case p := <-arrived:
		return p
	case <-time.After(time.Minute):
		s.Fatal(errors.New("no message arrives"))
		return nil
	}
}

func id(p *paho.Publish) string { return p.Properties.User.Get("id") }
