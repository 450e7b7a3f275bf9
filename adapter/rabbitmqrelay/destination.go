package rabbitmqrelay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hapaxmq/hapax/internal/sending"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// Options are those of a [Destination]. The zero value is good.
type Options struct {
	// Exchange is where records are published (default: the default exchange, by which a topic
	// is a queue's name). It must be there.
	Exchange string
	// KeyHeader is the header that has a record's order key (default: none has).
	KeyHeader string
	// InFlight is how many records of a shard are sent and not confirmed at most
	// (default: 256; 10,000 at most).
	InFlight int
	// Timeout is how long to wait for a confirmation before all that is on its way is taken
	// for unknown, and sent again (default: 10 s). It should be longer than what an alarm of
	// RabbitMQ's may stop publishers for, or else copies pile up behind it.
	Timeout time.Duration
	// Config says how to connect: TLS, SASL, the virtual host, Dial.
	Config amqp.Config
}

// Destination is a [relay.Destination].
type Destination struct {
	url    string
	o      Options
	sender *sending.Sender
}

// New returns a destination, and asks nothing of the server yet. Each shard has a connection
// and a channel of its own.
func New(url string, o Options) (*Destination, error) {
	if _, err := amqp.ParseURI(url); err != nil {
		return nil, errors.New("rabbitmq relay: want a URL amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps://")
	}
	if o.Config.Recovery != nil {
		return nil, errors.New("rabbitmq relay: a connection must not recover by itself, for that would send what may be sent: leave Config.Recovery out")
	}
	sender, err := sending.New(sending.Options{InFlight: o.InFlight, Timeout: o.Timeout})
	if err != nil {
		return nil, fmt.Errorf("rabbitmq relay: %w", err)
	}
	if o.Config.Properties == nil {
		o.Config.Properties = amqp.NewConnectionProperties()
		o.Config.Properties.SetClientConnectionName("hapax-outbox")
	}
	return &Destination{url: url, o: o, sender: sender}, nil
}

// Open is the method of [relay.Destination]. It is a connection, a channel, and a look at
// the exchange; the number of a batch is nothing that RabbitMQ could know.
func (d *Destination) Open(ctx context.Context, s relay.Shard) (relay.Line, int64, error) {
	l, err := d.open(ctx, s)
	if err != nil {
		if l != nil {
			l.Close()
		}
		return nil, 0, fmt.Errorf("rabbitmq relay: open shard %d: %w", s.Number, err)
	}
	go l.listen()
	return l, 0, nil
}

func (d *Destination) open(ctx context.Context, s relay.Shard) (*line, error) {
	l := &line{Destination: d, shard: s, pending: map[uint64]message{}}
	config := d.o.Config
	config.Properties = maps.Clone(config.Properties) // the client writes into it
	dial := config.Dial
	if dial == nil {
		dial = amqp.DefaultDial(d.sender.Timeout())
	}
	config.Dial = func(network, address string) (c net.Conn, err error) {
		l.net, err = dial(network, address)
		return l.net, err
	}
	var err error
	if l.conn, err = amqp.DialConfig(d.url, config); err != nil {
		return nil, err
	}
	unbind := context.AfterFunc(ctx, l.Close)
	defer unbind()
	if l.ch, err = l.conn.Channel(); err != nil {
		return l, err
	}
	if d.o.Exchange != "" {
		if err := l.ch.ExchangeDeclarePassive(d.o.Exchange, "", true, false, false, false, nil); err != nil {
			return l, fmt.Errorf("exchange %q: %w: it has to be there, so make it, or name another", d.o.Exchange, err)
		}
	}
	// The client drops what nobody takes from these: there is room for all that can come.
	room := d.sender.InFlight() + 1
	l.returned = l.ch.NotifyReturn(make(chan amqp.Return, room))
	l.confirmed = l.ch.NotifyPublish(make(chan amqp.Confirmation, room))
	l.ended = l.ch.NotifyClose(make(chan *amqp.Error, 1))
	return l, l.ch.Confirm(false)
}
