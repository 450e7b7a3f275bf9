package nats

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// longestReason is the most of an error that is sent to the server as a reason.
const longestReason = 256

// Message is a delivery as an inbox takes it in. Its data is shared, not copied.
//
//   - Key is the subject.
//   - Headers are in order of their names, Nats-Msg-Id among them: "header:Nats-Msg-Id"
//     names messages by it.
//   - Position is the stream's name and the sequence in it, which is the same in every
//     delivery. A stream that is deleted and made anew begins at 1 again: marks by
//     position are for streams that stay, or else their messages look like copies.
//   - Time is zero: a message has the server's time only, which differs between copies
//     of one publisher.
func Message(msg jetstream.Msg) *hapax.Message {
	m := &hapax.Message{Key: []byte(msg.Subject()), Value: msg.Data()}
	headers := msg.Headers()
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		for _, value := range headers[name] {
			m.Headers = append(m.Headers, hapax.Header{Name: name, Value: []byte(value)})
		}
	}
	if at, err := msg.Metadata(); err == nil {
		m.Position = hapax.Position{Source: at.Stream, Offset: int64(at.Sequence.Stream)}
	}
	return m
}

// Settle settles a delivery in a consumer loop of the caller's: it acknowledges it, lets
// it come again after s.After, or ends its delivery for the reason why. If the action is
// [inbox.Stop] take no other before s.After. An error means that it comes again.
func Settle(msg jetstream.Msg, s inbox.Settlement, why error) error {
	var err error
	switch s.Action {
	case inbox.Ack:
		err = msg.Ack()
	case inbox.DeadLetter:
		err = msg.TermWithReason(reason(why))
	default:
		err = msg.NakWithDelay(s.After)
	}
	if err != nil {
		return fmt.Errorf("%v %s: %w", s.Action, msg.Subject(), err)
	}
	return nil
}

// reason is an error as one line.
func reason(why error) string {
	if why == nil {
		why = errors.New("no reason is given")
	}
	text := strings.Join(strings.Fields(why.Error()), " ")
	if len(text) > longestReason {
		text = strings.ToValidUTF8(text[:longestReason], "")
	}
	return text
}
