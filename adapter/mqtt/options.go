package mqtt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/eclipse/paho.golang/paho"
	"time"

	"github.com/hapaxmq/hapax/internal/intake"
)

const defaultKeepAlive = 30 // seconds

// Options are those of a [Consumer]. Dial, Connect, Subscriptions and DeadLetters are
// required; of all others the zero value is good.
type Options struct {
	// Dial connects to the broker, by TCP, TLS or what else there is.
	Dial func(ctx context.Context) (net.Conn, error)

	// Connect is how the consumer introduces itself. It wants a client id that no other
	// client has, and a session that lasts (Properties.SessionExpiryInterval, in seconds):
	// longer than the consumer is ever away. A clean start is never asked for, and not
	// more messages at a time than Prefetch. Without a keep-alive it is 30 s.
	Connect paho.Connect

	// Subscriptions are what is consumed, by QoS 1 or 2. They are made anew with each
	// connection; RetainHandling says whether that brings what the broker retains.
	// One that is left out later stays in the session until somebody unsubscribes.
	Subscriptions []paho.SubscribeOptions

	// DeadLetters is the topic for messages that another try will not help. Somebody must
	// subscribe to it, in a session that lasts.
	DeadLetters string
	// Attempts is how many failed attempts make a dead letter of a message (default: no
	// limit).
	Attempts int

	// Prefetch is how many messages are taken and not acknowledged: handled, waiting for
	// a handler, held until they come again, or done before one that arrived earlier
	// (default: 64, at most 65,535).
	Prefetch int
	// Handlers is how many messages are handled at once (default: 16, or Prefetch if
	// that is less).
	Handlers int
	// Drain is how long handlers may go on once the context of Run has ended; then
	// theirs ends too (default: 30 s).
	Drain  time.Duration
	Logger *slog.Logger // default: silent
}

func (o *Options) validate() error {
	switch p := o.Connect.Properties; {
	case o.Dial == nil || len(o.Subscriptions) == 0:
		return errors.New("want a way to dial, and subscriptions")
	case o.Connect.ClientID == "":
		return errors.New("want a client id: the session is kept under it")
	case p == nil || p.SessionExpiryInterval == nil || *p.SessionExpiryInterval == 0:
		return errors.New("session expiry interval is 0: the broker would forget what is not acknowledged with the connection")
	case o.DeadLetters == "" || strings.ContainsAny(o.DeadLetters, "+#"):
		return fmt.Errorf("dead letters %q: want a topic", o.DeadLetters)
	}
	for _, s := range o.Subscriptions {
		switch {
		case s.QoS != 1 && s.QoS != 2:
			return fmt.Errorf("subscription to %q by QoS %d: want 1 or 2, for what is not acknowledged is lost with a process", s.Topic, s.QoS)
		case matches(s.Topic, o.DeadLetters):
			return fmt.Errorf("dead letters: %q is read by the consumer itself, by its subscription to %q", o.DeadLetters, s.Topic)
		}
	}
	return nil
}

func (o *Options) limits() (intake.Options, error) {
	return intake.Options{
		Prefetch: o.Prefetch, Handlers: o.Handlers, Drain: o.Drain, Logger: o.Logger, Keep: true, Attempts: o.Attempts,
	}.WithDefaults()
}

// connect is the packet by which a connection begins.
func (o *Options) connect(prefetch int) *paho.Connect {
	packet, properties := o.Connect, *o.Connect.Properties
	packet.CleanStart = false
	packet.UsernameFlag = packet.UsernameFlag || packet.Username != ""
	packet.PasswordFlag = packet.PasswordFlag || len(packet.Password) > 0
	if packet.KeepAlive == 0 {
		packet.KeepAlive = defaultKeepAlive
	}
	most := uint16(prefetch)
	if asked := properties.ReceiveMaximum; asked != nil && *asked > 0 {
		most = min(most, *asked)
	}
	properties.ReceiveMaximum = &most
	packet.Properties = &properties
	return &packet
}

// matches tells whether a subscription has a topic (MQTT 5, section 4.7).
func matches(filter, topic string) bool {
	if rest, shared := strings.CutPrefix(filter, "$share/"); shared {
		_, filter, _ = strings.Cut(rest, "/")
	}
	if strings.HasPrefix(topic, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return false
	}
	wanted, levels := strings.Split(filter, "/"), strings.Split(topic, "/")
	for i, want := range wanted {
		switch {
		case want == "#":
			return true
		case i >= len(levels) || want != "+" && want != levels[i]:
			return false
		}
	}
	return len(wanted) == len(levels)
}
