package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/mqtt"
	"github.com/hapaxmq/hapax/internal/deliverytest"
	"github.com/hapaxmq/hapax/internal/servertest"
)

func TestFails(t *testing.T) {
	t.Parallel()
	deliverytest.Fails(t, declare(t, 1))
}

func TestS12HeldIsNoDelivery(t *testing.T) {
	t.Parallel()
	s := declare(t, 2)
	s.o.Attempts = 1
	deliverytest.HeldIsNoDelivery(t, s)
}

// TestAttempts: what fails too often goes to the dead letters.
func TestAttempts(t *testing.T) {
	t.Parallel()
	s := declare(t, 1)
	s.o.Attempts = 3
	runs := 0
	w := deliverytest.Transacted(t, s, func(string) error { runs++; return errors.New("as ever") })
	deliverytest.Once(s, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Consume(ctx, w) }()
	if dead := s.Dead(1); !slices.Equal(dead, []string{"m0"}) || runs != 3 {
		t.Errorf("dead letters %v after %d runs, want m0 after 3", dead, runs)
	}
	cancel()
	s.must(<-ended)
	w.Book.Audit(t, nil)
	s.Settled()
}

// TestPlainLoop takes messages by the loop of the example.
func TestPlainLoop(t *testing.T) {
	t.Parallel()
	s := declare(t, 1)
	w := deliverytest.Transacted(t, s, nil)
	once := deliverytest.Once(s, 3)
	client, arrived := s.raw(func(*paho.Connect) {})
	for range once {
		s.must(consumeOne(t.Context(), client, w, s.next(arrived)))
	}
	w.Book.Audit(t, once)
}

// broker is one in this process, which does as the test says.
type broker struct {
	t    *testing.T
	conn net.Conn
}

// fake lets a consumer talk to such a broker, and returns how its run ended.
func fake(t *testing.T, in mqtt.Inbox, says func(b *broker)) error {
	t.Helper()
	o := options("", "fake", 1)
	o.Dial = func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			says(&broker{t, server})
			_, _ = io.Copy(io.Discard, server) // until the client leaves
		}()
		return client, nil
	}
	c, err := mqtt.New(in, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return c.Run(ctx)
}

// read reads the next packet that is no ping.
func (b *broker) read() *packets.ControlPacket {
	for {
		p, err := packets.ReadPacket(b.conn)
		if err != nil {
			return &packets.ControlPacket{}
		}
		if p.Type != packets.PINGREQ {
			return p
		}
		b.write(packets.NewControlPacket(packets.PINGRESP))
	}
}

func (b *broker) write(p io.WriterTo) { _, _ = p.WriteTo(b.conn) }

// welcome answers a CONNECT, and what is subscribed to.
func (b *broker) welcome(granted byte) *packets.Connect {
	connect, _ := b.read().Content.(*packets.Connect)
	b.write(&packets.Connack{Properties: &packets.Properties{}})
	if subscribe, ok := b.read().Content.(*packets.Subscribe); ok {
		b.write(&packets.Suback{PacketID: subscribe.PacketID, Reasons: []byte{granted}, Properties: &packets.Properties{}})
	}
	return connect
}

func (b *broker) publish(number uint16, id string) {
	b.write(&packets.Publish{QoS: 1, PacketID: number, Topic: "fake/in", Properties: &packets.Properties{User: []packets.User{{Key: "id", Value: id}}}})
}

// TestRefused: what a broker refuses for good ends the run.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		says func(b *broker)
		want string
	}{
		"connect": {func(b *broker) {
			b.read()
			b.write(&packets.Connack{ReasonCode: 0x87, Properties: &packets.Properties{}})
		}, "connect: refused by reason code 0x87"},
		"subscription":  {func(b *broker) { b.welcome(0x87) }, "subscribe to fake/in: refused by reason code 0x87"},
		"less than QoS": {func(b *broker) { b.welcome(0) }, "granted QoS 0, not 1"},
		"taken over": {func(b *broker) {
			b.welcome(1)
			b.write(&packets.Disconnect{ReasonCode: 0x8E, Properties: &packets.Properties{}})
		}, "taken over"},
		"no dead letters": {func(b *broker) {
			b.welcome(1)
			b.publish(7, "")
			letter, _ := b.read().Content.(*packets.Publish)
			b.write(&packets.Puback{PacketID: letter.PacketID, ReasonCode: 0x10, Properties: &packets.Properties{}})
		}, "nobody subscribes to it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nameless := handler(func(context.Context, *hapax.Message) (hapax.Result, error) {
				return hapax.Result{Outcome: hapax.Nameless}, hapax.ErrMissing
			})
			if err := fake(t, nameless, c.says); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the run ended by %v, want %q", err, c.want)
			}
		})
	}
}

// TestDeadLetterTooLarge: a dead letter is larger than its message, and one that the broker
// does not take ends the run, for it would end each connection. The message stays in the
// session. One that fits is buried.
func TestDeadLetterTooLarge(t *testing.T) {
	t.Parallel()
	const most = 3000
	s := declareAt(t, servertest.StartMosquitto(t, fmt.Sprint("max_packet_size ", most)).Addr, 1)
	in := handler(func(context.Context, *hapax.Message) (hapax.Result, error) {
		return hapax.Result{Outcome: hapax.Nameless}, hapax.ErrMissing
	})
	c, err := mqtt.New(in, s.o)
	s.must(err)
	publish := func(size int) {
		t.Helper()
		_, err := s.other.Publish(t.Context(), &paho.Publish{QoS: 1, Topic: s.name + "/in", Payload: make([]byte, size)})
		s.must(err)
	}
	publish(most - 100) // and less than that for its topic
	for range 2 {       // it is there when the program is started again
		var refused *mqtt.RefusedError
		if err := c.Run(t.Context()); !errors.As(err, &refused) || refused.Code != 0x95 || !strings.Contains(err.Error(), "3000 at most") {
			t.Errorf("the run ended by %v, want a dead letter that is too large", err)
		}
	}
	s.end()

	s.o.Connect.CleanStart = false
	client := s.connect(paho.ClientConfig{}, s.o.Connect)
	_, err = client.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: s.o.Subscriptions})
	s.must(err)
	s.must(client.Disconnect(&paho.Disconnect{}))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	publish(most / 2)
	if letter := s.next(s.dead); len(letter.Payload) != most/2 {
		t.Errorf("a dead letter of %d bytes", len(letter.Payload))
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the run ended by %v", err)
	}
}

// handler is an inbox.
type handler func(context.Context, *hapax.Message) (hapax.Result, error)

func (h handler) Handle(ctx context.Context, m *hapax.Message) (hapax.Result, error) {
	return h(ctx, m)
}

// TestAcknowledgesInOrder: the second message is done before the first one, and is
// acknowledged after it. The broker is asked for a session, and for no more than there
// is room for.
func TestAcknowledgesInOrder(t *testing.T) {
	t.Parallel()
	second := make(chan struct{})
	var first atomic.Bool // is done
	in := handler(func(_ context.Context, m *hapax.Message) (hapax.Result, error) {
		if id, _ := m.Header("id"); string(id) == "second" {
			close(second)
		} else {
			<-second
			<-time.After(50 * time.Millisecond) // in which nothing is to be acknowledged
			first.Store(true)
		}
		return hapax.Result{Outcome: hapax.Executed}, nil
	})
	acknowledged := make(chan uint16, 2)
	err := fake(t, in, func(b *broker) {
		connect := b.welcome(1)
		if p := connect.Properties; connect.CleanStart || *p.SessionExpiryInterval != 3600 || *p.ReceiveMaximum != 8 || connect.KeepAlive != 30 {
			t.Errorf("connected by %v", connect)
		}
		b.publish(1, "first")
		b.publish(2, "second")
		for range 2 {
			ack, _ := b.read().Content.(*packets.Puback)
			if !first.Load() {
				t.Errorf("acknowledged %d before the first one was done", ack.PacketID)
			}
			acknowledged <- ack.PacketID
		}
		b.write(&packets.Disconnect{ReasonCode: 0x8E, Properties: &packets.Properties{}})
	})
	if !errors.Is(err, mqtt.ErrTakenOver) {
		t.Errorf("the run ended by %v", err)
	}
	if a, b := <-acknowledged, <-acknowledged; a != 1 || b != 2 {
		t.Errorf("acknowledged %d before %d", a, b)
	}
}

func TestOptions(t *testing.T) {
	good := options("", "name", 1)
	if _, err := mqtt.New(handler(nil), good); err != nil {
		t.Error(err)
	}
	filter := func(f string) func(*mqtt.Options) {
		return func(o *mqtt.Options) { o.Subscriptions = []paho.SubscribeOptions{{Topic: f, QoS: 1}} }
	}
	for _, c := range []struct {
		want   string // none: it is good
		change func(*mqtt.Options)
	}{
		{"way to dial", func(o *mqtt.Options) { o.Dial = nil }},
		{"subscriptions", func(o *mqtt.Options) { o.Subscriptions = nil }},
		{"client id", func(o *mqtt.Options) { o.Connect.ClientID = "" }},
		{"expiry", func(o *mqtt.Options) { o.Connect.Properties = nil }},
		{"want a topic", func(o *mqtt.Options) { o.DeadLetters = "dead/#" }},
		{"by QoS 0", func(o *mqtt.Options) { o.Subscriptions = []paho.SubscribeOptions{{Topic: "a"}} }},
		{"attempts -1", func(o *mqtt.Options) { o.Attempts = -1 }},
		{"read by", filter("name/dead")},
		{"read by", filter("#")},
		{"read by", filter("name/#")},
		{"read by", filter("+/dead")},
		{"read by", filter("name/dead/#")},
		{"read by", filter("$share/group/name/+")},
		{"", filter("name/dead/+")},
		{"", filter("+")},
		{"", filter("other/#")},
	} {
		o := good
		c.change(&o)
		if _, err := mqtt.New(handler(nil), o); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if _, err := mqtt.New(nil, good); err == nil {
		t.Error("no inbox, and no error")
	}
}

// TestMessage reads properties.
func TestMessage(t *testing.T) {
	got := mqtt.Message(&paho.Publish{Topic: "a/b", Payload: []byte("body"), Properties: &paho.PublishProperties{
		ContentType: "text/plain", CorrelationData: []byte{7}, User: paho.UserProperties{{Key: "id", Value: "8"}, {Key: "id", Value: "9"}},
	}})
	want := &hapax.Message{
		Key: []byte("a/b"), Value: []byte("body"),
		Headers: []hapax.Header{
			{Name: "content-type", Value: []byte("text/plain")}, {Name: "correlation-data", Value: []byte{7}},
			{Name: "id", Value: []byte("8")}, {Name: "id", Value: []byte("9")},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("message %+v, want %+v", got, want)
	}
	if m := mqtt.Message(&paho.Publish{}); m.Value == nil {
		t.Error("an empty payload is none, want it to be content")
	}
}
