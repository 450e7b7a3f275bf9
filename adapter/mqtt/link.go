package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session/state"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/intake"
)

// link is one connection. What arrives on it can be acknowledged on it only.
type link struct {
	c       *Consumer
	conn    net.Conn
	client  *paho.Client
	session session
	resumed bool  // the broker had the session
	largest int64 // packet that the broker takes; 0: any

	live context.Context // ends when the link is lost, with the reason as its cause
	lose context.CancelCauseFunc

	arrived chan *delivery // room for all that may come: the client must not be kept waiting

	mu    sync.Mutex
	order []*delivery // not acknowledged, as they arrived
}

// session is the client's part of the session. It begins with the link: what the
// broker sends again is found to be a copy by the inbox, which knows more.
type session struct{ *state.State }

// Ack is what the client calls when it has handed a message on: that is too early.
func (session) Ack(*packets.Publish) error { return nil }

// parting is how long a broker may take to close a connection that has been ended.
const parting = 5 * time.Second

// mostArrived is more than a broker can send before it is told of one: there are so
// many packet identifiers. It should send no more than it is asked for, but Mosquitto
// 2.0.11 does, after it was restarted.
const mostArrived = 1 << 16

var errFlood = errors.New("the broker sends more than it may")

// connect makes a link, and subscribes.
func (c *Consumer) connect(ctx context.Context) (*link, error) {
	conn, err := c.o.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	if _, safe := conn.(sync.Locker); !safe {
		conn = packets.NewThreadSafeConn(conn)
	}
	l := &link{c: c, conn: conn, session: session{state.NewInMemory()}, arrived: make(chan *delivery, mostArrived)}
	l.live, l.lose = context.WithCancelCause(context.WithoutCancel(ctx))
	if err := l.open(ctx); err != nil {
		l.lose(err)
		return nil, err
	}
	if err := l.subscribe(ctx); err != nil {
		l.lose(err)
		l.close()
		return nil, err
	}
	return l, nil
}

// open introduces the client to its broker.
func (l *link) open(ctx context.Context) error {
	l.client = paho.NewClient(paho.ClientConfig{
		Conn: l.conn, Session: l.session,
		OnPublishReceived:  []func(paho.PublishReceived) (bool, error){l.receive},
		OnServerDisconnect: l.disconnected,
		OnClientError:      func(err error) { l.lose(err) },
	})
	answer, err := l.client.Connect(ctx, l.c.o.connect(l.c.limit.Prefetch))
	switch {
	case err == nil:
		l.resumed = answer.SessionPresent
		if p := answer.Properties; p != nil && p.MaximumPacketSize != nil {
			l.largest = int64(*p.MaximumPacketSize)
		}
		return nil
	case answer != nil && final(answer.ReasonCode):
		refused := &RefusedError{What: "connect", Code: answer.ReasonCode}
		if answer.Properties != nil {
			refused.Reason = answer.Properties.ReasonString
		}
		return refused
	}
	return fmt.Errorf("connect: %w", err)
}

func (l *link) subscribe(ctx context.Context) error {
	answer, err := l.client.Subscribe(ctx, &paho.Subscribe{Subscriptions: l.c.o.Subscriptions})
	if answer == nil {
		return fmt.Errorf("subscribe: %w", errors.Join(err, context.Cause(l.live)))
	}
	for i, s := range l.c.o.Subscriptions {
		refused := &RefusedError{What: "subscribe to " + s.Topic}
		if i >= len(answer.Reasons) {
			return errors.Join(refused, errors.New("no answer to this subscription"))
		}
		if refused.Code = answer.Reasons[i]; refused.Code < s.QoS || refused.Code >= unspecified {
			if refused.Code < s.QoS {
				refused.Reason = fmt.Sprintf("granted QoS %d, not %d", refused.Code, s.QoS)
			}
			return refused
		}
	}
	return nil
}

// disconnected is told why the broker ends the link.
func (l *link) disconnected(d *paho.Disconnect) {
	refused := &RefusedError{What: "stay connected", Code: d.ReasonCode}
	if d.Properties != nil {
		refused.Reason = d.Properties.ReasonString
	}
	switch {
	case d.ReasonCode == takenOver:
		l.lose(ErrTakenOver)
	case final(d.ReasonCode):
		l.lose(refused)
	default:
		l.lose(errors.New(refused.Error()))
	}
}

// receive is told of each message as it arrives.
func (l *link) receive(r paho.PublishReceived) (bool, error) {
	d := &delivery{l: l, packet: r.Packet}
	if d.packet.QoS == 0 && len(l.arrived) >= l.c.limit.Prefetch {
		l.c.limit.Logger.Warn("mqtt: message of QoS 0 is dropped: too many wait", "topic", d.packet.Topic)
		return true, nil
	}
	if d.packet.QoS > 0 {
		l.mu.Lock()
		l.order = append(l.order, d)
		l.mu.Unlock()
	}
	select {
	case l.arrived <- d:
	default:
		l.lose(errFlood)
	}
	return true, nil
}

// take hands on what arrives, until the link is lost, of which it returns the reason, or
// ctx ends: then it returns when all is settled.
func (l *link) take(ctx context.Context, k *intake.Intake) error {
	for {
		if _, err := k.Reserve(1); err != nil {
			k.End() // while there is a link to acknowledge on
			return err
		}
		select {
		case d := <-l.arrived:
			k.Take(l.live, d)
			continue
		case <-l.live.Done():
		case <-ctx.Done():
		}
		k.Release(1)
		if l.live.Err() != nil {
			return context.Cause(l.live)
		}
	}
}

// close ends the link, and returns when the broker has read all that was sent on it:
// who closes a connection before he has read all of it throws away what he has sent.
func (l *link) close() {
	_ = l.conn.SetWriteDeadline(time.Now().Add(parting)) // if there is none, what is written now will tell
	if l.live.Err() == nil {
		if _, err := (&paho.Disconnect{}).Packet().WriteTo(l.conn); err == nil {
			select {
			case <-l.client.Done(): // the broker has closed it, as it must
			case <-time.After(parting):
			}
		}
	}
	l.lose(net.ErrClosed)
	_ = l.client.Disconnect(&paho.Disconnect{}) // if it fails the link is gone already
	_ = l.session.Close()                       // has no error
}

// acknowledge acknowledges what is done, as far as all before it is done too.
func (l *link) acknowledge(d *delivery) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	d.done = true
	for len(l.order) > 0 && l.order[0].done {
		if l.live.Err() != nil {
			return context.Cause(l.live)
		}
		if err := l.session.State.Ack(l.order[0].packet.Packet()); err != nil {
			l.lose(err)
			return err
		}
		l.order = l.order[1:]
	}
	return nil
}

// bury publishes a dead letter, and returns when the broker has it. If it has not, only
// another link will bring the message again.
func (l *link) bury(letter *paho.Publish) error {
	// The broker would end the link over one that is too large, and each of the next.
	if size, _ := letter.Packet().WriteTo(io.Discard); l.largest > 0 && size > l.largest {
		err := &RefusedError{What: "publish a dead letter to " + letter.Topic, Code: packetTooLarge,
			Reason: fmt.Sprintf("it takes %d bytes, and the broker takes %d at most: raise that, or take the message from the session", size, l.largest)}
		l.lose(err)
		return err
	}
	answer, err := l.client.Publish(l.live, letter)
	if answer != nil && (answer.ReasonCode == noSubscribers || answer.ReasonCode >= unspecified) {
		refused := &RefusedError{What: "publish a dead letter to " + letter.Topic, Code: answer.ReasonCode}
		if answer.ReasonCode == noSubscribers {
			refused.Reason = "nobody subscribes to it, so it would be lost"
		}
		err = refused
	}
	if err != nil {
		l.lose(err)
	}
	return err
}

// delivery is a message that has arrived on a link.
type delivery struct {
	l      *link
	packet *paho.Publish
	done   bool // under l.mu
}

func (d *delivery) Message() *hapax.Message { return Message(d.packet) }

func (d *delivery) Ack() error {
	if d.packet.QoS == 0 {
		return nil
	}
	if err := d.l.acknowledge(d); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}

// Back gives nothing back: the broker sends it again to the next link.
func (d *delivery) Back(context.Context, inbox.Settlement, error) error {
	if d.packet.QoS == 0 {
		d.l.c.limit.Logger.Warn("mqtt: message of QoS 0 is lost", "topic", d.packet.Topic)
	}
	return nil
}

func (d *delivery) Dead(why error) error {
	if err := d.l.bury(DeadLetter(d.l.c.o.DeadLetters, d.packet, why)); err != nil {
		return fmt.Errorf("write a dead letter: %w", err)
	}
	return d.Ack()
}
