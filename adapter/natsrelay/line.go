package natsrelay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hapaxmq/hapax/internal/sending"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// line is a [relay.Line]: a connection.
type line struct {
	*Destination

	shard relay.Shard
	conn  *client.Conn
	js    jetstream.JetStream

	mu      sync.Mutex
	pending map[*client.Msg]func(error) // what is to be told of messages that are on their way
}

// Publish is the method of [relay.Line].
func (l *line) Publish(ctx context.Context, b relay.Batch, alone bool, sealed func() error) error {
	if err := l.sender.Batch(ctx, l.shard.Name, b, alone, sealed, l.send); err != nil {
		return fmt.Errorf("nats relay: publish batch %d of shard %d: %w", b.Number, l.shard.Number, err)
	}
	return nil
}

// send begins to send a record.
func (l *line) send(r *relay.Record, done func(error)) {
	m, err := l.message(r)
	if err != nil {
		done(err)
		return
	}
	l.mu.Lock()
	l.pending[m] = done
	l.mu.Unlock()
	switch _, err := l.js.PublishMsgAsync(m); {
	case errors.Is(err, client.ErrMaxPayload):
		l.settle(m, &sending.RefusedError{Why: fmt.Sprintf("%v: the server takes %d bytes, headers among them: raise its max_payload", err, l.js.Conn().MaxPayload())})
	case errors.Is(err, client.ErrBadSubject), errors.Is(err, client.ErrBadHeaderMsg):
		l.settle(m, &sending.RefusedError{Why: err.Error()})
	case err != nil:
		l.settle(m, err)
	}
}

// settle tells what became of a message, once.
func (l *line) settle(m *client.Msg, err error) {
	l.mu.Lock()
	done := l.pending[m]
	delete(l.pending, m)
	l.mu.Unlock()
	if done != nil {
		done(err)
	}
}

func (l *line) acknowledged(_ jetstream.JetStream, m *client.Msg, _ *jetstream.PubAck) {
	l.settle(m, nil)
}

// failed is told of a message that was not acknowledged.
func (l *line) failed(_ jetstream.JetStream, m *client.Msg, err error) {
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api) && api.Code == 400:
		l.settle(m, &sending.RefusedError{Why: err.Error()})
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, jetstream.ErrInvalidJSAck):
		go l.settle(m, l.taken(m, err)) // this is the goroutine that answers come to
	default:
		l.settle(m, err)
	}
}

// taken asks whether a stream takes the subject of a message that none answered for. It may
// be without a leader.
func (l *line) taken(m *client.Msg, err error) error {
	ctx, end := context.WithTimeout(context.Background(), l.sender.Timeout())
	defer end()
	if _, none := l.js.StreamNameBySubject(ctx, m.Subject); errors.Is(none, jetstream.ErrStreamNotFound) {
		return &sending.RefusedError{Why: fmt.Sprintf("no stream takes the subject %s: make one, or give the subject to one that is there", m.Subject)}
	}
	return err
}

// heard is told of what the server has against this connection. Of subjects where it may not
// publish there is no other answer.
func (l *line) heard(_ *client.Conn, _ *client.Subscription, err error) {
	if !errors.Is(err, client.ErrPermissionViolation) {
		return
	}
	for _, m := range l.flying() {
		if strings.HasSuffix(err.Error(), "Publish to "+strconv.Quote(m.Subject)) {
			l.settle(m, &sending.RefusedError{Why: err.Error()})
		}
	}
}

// closed is told that the connection has ended.
func (l *line) closed(conn *client.Conn) {
	why := errors.Join(client.ErrConnectionClosed, conn.LastError())
	for _, m := range l.flying() {
		l.settle(m, why)
	}
}

func (l *line) flying() (all []*client.Msg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for m := range l.pending {
		all = append(all, m)
	}
	return all
}

// message is a record as NATS has it, or why there is none.
func (l *line) message(r *relay.Record) (*client.Msg, error) {
	for _, own := range []string{"$JS.", "$SYS."} {
		if strings.HasPrefix(r.Topic, own) {
			return nil, &sending.RefusedError{Why: fmt.Sprintf("the topic %s is one of the server's own", r.Topic)}
		}
	}
	for token := range strings.SplitSeq(r.Topic, ".") {
		if token == "" || token == "*" || token == ">" || strings.ContainsAny(token, " \t") {
			return nil, &sending.RefusedError{Why: fmt.Sprintf("the topic %q is no subject that can be published to", r.Topic)}
		}
	}
	m := &client.Msg{Subject: r.Topic, Data: r.Payload, Header: client.Header{}}
	for _, h := range r.Headers {
		m.Header.Add(h.Name, string(h.Value))
	}
	if l.o.KeyHeader != "" && r.OrderKey != "" {
		m.Header.Set(l.o.KeyHeader, r.OrderKey)
	}
	m.Header.Set(jetstream.MsgIDHeader, r.ID)
	for name, values := range m.Header {
		for _, value := range values {
			if name == "" || strings.ContainsAny(name, ":\r\n") || strings.ContainsAny(value, "\r\n") || strings.Trim(value, " \t") != value {
				return nil, &sending.RefusedError{Why: fmt.Sprintf("the header %q is none that NATS could carry as it is", name)}
			}
		}
	}
	return m, nil
}

// Close is the method of [relay.Line]. What is on its way may be stored still.
func (l *line) Close() {
	if l.conn != nil {
		l.conn.Close()
	}
}
