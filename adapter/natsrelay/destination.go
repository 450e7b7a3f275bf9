package natsrelay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hapaxmq/hapax/internal/sending"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// Options are those of a [Destination]. The zero value is good.
type Options struct {
	// KeyHeader is the header that has a record's order key (default: none has).
	KeyHeader string
	// InFlight is how many records of a shard are sent and not acknowledged at most
	// (default: 256; 10,000 at most).
	InFlight int
	// Timeout is how long to wait for an acknowledgement before all that is on its way is taken
	// for unknown, and sent again (default: 10 s).
	Timeout time.Duration
}

// Destination is a [relay.Destination].
type Destination struct {
	url    string
	o      Options
	opts   []client.Option
	sender *sending.Sender
}

// New returns a destination, and asks nothing of the server yet. The URL may be several with
// commas between them. Options of nats.go say how to log in; each shard has a connection of its
// own, which is not renewed but replaced.
func New(url string, o Options, opts ...client.Option) (*Destination, error) {
	if url == "" {
		return nil, errors.New("nats relay: want the URL of a server")
	}
	if strings.ContainsAny(o.KeyHeader, ":\r\n") || strings.HasPrefix(o.KeyHeader, "Nats-") {
		return nil, fmt.Errorf("nats relay: key header %q: want one without colons and line breaks, and none of NATS's own (Nats-…)", o.KeyHeader)
	}
	sender, err := sending.New(sending.Options{InFlight: o.InFlight, Timeout: o.Timeout})
	if err != nil {
		return nil, fmt.Errorf("nats relay: %w", err)
	}
	return &Destination{url: url, o: o, opts: opts, sender: sender}, nil
}

// Open is the method of [relay.Destination]. It is a connection; the number of a batch is
// nothing that NATS could know.
func (d *Destination) Open(_ context.Context, s relay.Shard) (relay.Line, int64, error) {
	l := &line{Destination: d, shard: s, pending: map[*client.Msg]func(error){}}
	opts := append([]client.Option{client.Name("hapax-outbox")}, append(d.opts[:len(d.opts):len(d.opts)],
		client.NoReconnect(), client.RetryOnFailedConnect(false), client.ClosedHandler(l.closed), client.ErrorHandler(l.heard))...)
	conn, err := client.Connect(d.url, opts...)
	if err == nil {
		l.conn = conn
		l.js, err = jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(d.sender.InFlight()+1),
			jetstream.WithPublishAsyncAckHandler(l.acknowledged), jetstream.WithPublishAsyncErrHandler(l.failed))
	}
	if err != nil {
		l.Close()
		return nil, 0, fmt.Errorf("nats relay: open shard %d: %w", s.Number, err)
	}
	return l, 0, nil
}
