package rabbitmqrelay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hapaxmq/hapax/internal/sending"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// line is a [relay.Line]: a connection and a channel.
type line struct {
	*Destination

	shard     relay.Shard
	net       net.Conn
	conn      *amqp.Connection
	ch        *amqp.Channel
	returned  chan amqp.Return
	confirmed chan amqp.Confirmation
	ended     chan *amqp.Error
	close     sync.Once

	mu      sync.Mutex
	pending map[uint64]message // what is on its way, by delivery tag
	over    error              // why nothing can be sent any more
}

// message is one that is on its way.
type message struct {
	topic, id string
	done      func(error)
}

// Publish is the method of [relay.Line].
func (l *line) Publish(ctx context.Context, b relay.Batch, alone bool, sealed func() error) error {
	// What the server does not read is waited for, whatever the context says.
	unbind := context.AfterFunc(ctx, l.Close)
	defer unbind()
	if err := l.sender.Batch(ctx, l.shard.Name, b, alone, sealed, l.send); err != nil {
		return fmt.Errorf("rabbitmq relay: publish batch %d of shard %d: %w", b.Number, l.shard.Number, err)
	}
	return nil
}

// send begins to send a record.
func (l *line) send(r *relay.Record, done func(error)) {
	p, err := l.publishing(r)
	if err != nil {
		done(err)
		return
	}
	l.mu.Lock()
	if l.over != nil {
		defer l.mu.Unlock()
		done(l.over)
		return
	}
	// Only this goroutine publishes, so the tag is that of the next message.
	tag := l.ch.GetNextPublishSeqNo()
	l.pending[tag] = message{r.Topic, r.ID, done}
	l.mu.Unlock()
	if err := l.ch.Publish(l.o.Exchange, r.Topic, true, false, p); err != nil {
		l.settle(tag, err)
	}
}

// settle tells what became of a message, once.
func (l *line) settle(tag uint64, err error) {
	l.mu.Lock()
	m, ok := l.pending[tag]
	delete(l.pending, tag)
	l.mu.Unlock()
	if ok {
		m.done(err)
	}
}

// listen settles messages until the channel ends. One that no queue takes is returned first,
// and then confirmed.
func (l *line) listen() {
	type name struct{ topic, id string }
	unroutable := map[name]string{}
	for c := range l.confirmed {
		for len(l.returned) > 0 {
			r := <-l.returned
			unroutable[name{r.RoutingKey, r.MessageId}] = fmt.Sprintf("%d %s: no queue takes the routing key %q: bind one", r.ReplyCode, r.ReplyText, r.RoutingKey)
		}
		l.mu.Lock()
		m := l.pending[c.DeliveryTag]
		l.mu.Unlock()
		this := name{m.topic, m.id}
		switch why, is := unroutable[this]; {
		case is:
			delete(unroutable, this)
			l.settle(c.DeliveryTag, &sending.RefusedError{Why: why})
		case !c.Ack:
			l.settle(c.DeliveryTag, errors.New("not confirmed: is a queue full, or down?"))
		default:
			l.settle(c.DeliveryTag, nil)
		}
	}
	l.lost()
}

// lost settles what is on its way when the channel has ended.
func (l *line) lost() {
	var why error = amqp.ErrClosed
	if reason := <-l.ended; reason != nil {
		why = reason
	}
	var e *amqp.Error
	if errors.As(why, &e) && (e.Code == amqp.PreconditionFailed || e.Code == amqp.AccessRefused && strings.Contains(e.Reason, "access to topic ")) {
		why = &sending.RefusedError{Why: e.Error(), Together: true}
	}
	l.mu.Lock()
	l.over = amqp.ErrClosed
	all := l.pending
	l.pending = map[uint64]message{}
	l.mu.Unlock()
	for _, m := range all {
		m.done(why)
	}
}

// publishing is a record as RabbitMQ has it, or why there is none.
func (l *line) publishing(r *relay.Record) (p amqp.Publishing, err error) {
	p = amqp.Publishing{MessageId: r.ID, DeliveryMode: amqp.Persistent, Body: r.Payload}
	size := len(r.ID) + 64
	if len(r.Headers) > 0 || l.o.KeyHeader != "" {
		p.Headers = amqp.Table{}
	}
	for _, h := range r.Headers {
		if _, twice := p.Headers[h.Name]; twice || len(h.Name) > 255 || !utf8.ValidString(h.Name) {
			return p, &sending.RefusedError{Why: fmt.Sprintf("the header %.40q is none that RabbitMQ could carry, or there are two of it", h.Name)}
		}
		p.Headers[h.Name] = nil
		if h.Value != nil {
			p.Headers[h.Name] = string(h.Value)
		}
		size += len(h.Name) + len(h.Value) + 6
	}
	if l.o.KeyHeader != "" && r.OrderKey != "" {
		p.Headers[l.o.KeyHeader] = r.OrderKey
		size += len(l.o.KeyHeader) + len(r.OrderKey) + 6
	}
	// Headers are one frame, and a longer one would end the connection.
	if most := l.conn.Config.FrameSize; most > 0 && size > most {
		return p, &sending.RefusedError{Why: fmt.Sprintf("headers of %d bytes: the connection takes %d", size, most)}
	}
	return p, nil
}

// Close is the method of [relay.Line]. What is on its way may be stored still. It waits a
// second for the server, which may read no more.
func (l *line) Close() {
	l.close.Do(func() {
		_ = l.conn.CloseDeadline(time.Now().Add(time.Second))
		_ = l.net.Close() // if it was not answered
	})
}
