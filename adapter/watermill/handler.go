package watermill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// UUIDHeader is the header of a [hapax.Message] that holds the UUID of a message of
// Watermill; its Kafka adapter uses the same name.
const UUIDHeader = "_watermill_message_uuid"

// Inbox takes messages in: an [inbox.Inbox], or an [inbox.TxInbox].
type Inbox interface {
	Handle(ctx context.Context, m *hapax.Message) (hapax.Result, error)
}

// Handler gives a router's messages to an inbox, whose handler does the work: for
// effects in a database, with [inbox.Transaction].
func Handler(in Inbox) message.NoPublishHandlerFunc {
	return func(msg *message.Message) error {
		r, err := in.Handle(msg.Context(), Message(msg))
		return settle(msg.Context(), r, err)
	}
}

// DeadLetterError says of a message that another try will not help.
type DeadLetterError struct {
	Outcome hapax.Outcome
	Err     error
}

func (e *DeadLetterError) Error() string {
	return fmt.Sprintf("watermill: to the dead letters: %v: %v", e.Outcome, e.Err)
}

func (e *DeadLetterError) Unwrap() error { return e.Err }

// IsDeadLetter tells whether err is a [DeadLetterError]: a filter for Watermill's
// PoisonQueueWithFilter.
func IsDeadLetter(err error) bool { return errors.As(err, new(*DeadLetterError)) }

// settle says of a delivery what [inbox.Settle] does, in the way of Watermill: nil is
// an ack, an error a nack, after which the message may come at once.
func settle(ctx context.Context, r hapax.Result, err error) error {
	s := inbox.Settle(r, err)
	switch {
	case s.Action == inbox.Ack:
		return nil
	case err == nil:
		err = errors.New("no reason was given")
	}
	if s.Action == inbox.DeadLetter {
		return &DeadLetterError{r.Outcome, err}
	}
	if s.After > 0 {
		t := time.NewTimer(s.After)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return fmt.Errorf("watermill: %v: %w", r.Outcome, err)
}

// Message is a message of Watermill as inboxes take it: its metadata are headers in the
// order of their names, and its UUID is the header [UUIDHeader], unless it is empty.
// It shares the payload.
func Message(msg *message.Message) *hapax.Message {
	m := &hapax.Message{Value: msg.Payload}
	if msg.UUID != "" {
		m.Headers = append(m.Headers, hapax.Header{Name: UUIDHeader, Value: []byte(msg.UUID)})
	}
	for name, value := range msg.Metadata {
		if name != UUIDHeader {
			m.Headers = append(m.Headers, hapax.Header{Name: name, Value: []byte(value)})
		}
	}
	slices.SortFunc(m.Headers, func(a, b hapax.Header) int { return strings.Compare(a.Name, b.Name) })
	return m
}
