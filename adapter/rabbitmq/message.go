package rabbitmq

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// Message is a delivery as an inbox takes it in. Its body is shared, not copied.
//
//   - Key is the routing key, Time the timestamp that the sender set.
//   - Headers are the properties that are set, by AMQP's names: message-id,
//     correlation-id, type, app-id, user-id, reply-to, content-type,
//     content-encoding; then the headers in order of their names. Numbers and times
//     are written as text (RFC 3339); tables and arrays, such as x-death, are left out.
//
// There is no position, for a queue has none: name messages by an id
// ("header:message-id", "cloudevents").
func Message(d *amqp.Delivery) *hapax.Message {
	m := &hapax.Message{Key: []byte(d.RoutingKey), Value: d.Body, Time: d.Timestamp}
	for _, p := range [...][2]string{
		{"message-id", d.MessageId}, {"correlation-id", d.CorrelationId}, {"type", d.Type}, {"app-id", d.AppId},
		{"user-id", d.UserId}, {"reply-to", d.ReplyTo}, {"content-type", d.ContentType}, {"content-encoding", d.ContentEncoding},
	} {
		if p[1] != "" {
			m.Headers = append(m.Headers, hapax.Header{Name: p[0], Value: []byte(p[1])})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
		if value, ok := text(d.Headers[name]); ok {
			m.Headers = append(m.Headers, hapax.Header{Name: name, Value: value})
		}
	}
	return m
}

// text is the value of a header field, if it is a single one.
func text(v any) ([]byte, bool) {
	switch v := v.(type) {
	case string:
		return []byte(v), true
	case []byte:
		return v, true
	case bool, int, int8, int16, int32, int64, byte, uint16, uint32, uint64:
		return fmt.Append(nil, v), true
	case float32:
		return strconv.AppendFloat(nil, float64(v), 'g', -1, 32), true
	case float64:
		return strconv.AppendFloat(nil, v, 'g', -1, 64), true
	case time.Time:
		return v.UTC().AppendFormat(nil, time.RFC3339), true
	}
	return nil, false
}

// Settle settles a delivery in a consumer loop of the caller's: it acknowledges it,
// gives it back to its queue, or rejects it to the queue's dead letter exchange. RabbitMQ
// delivers again at once what is given back: wait for s.After before, and if the action
// is [inbox.Stop] take no other delivery meanwhile. An error means that the channel is
// lost, and that the delivery comes again on another.
func Settle(d *amqp.Delivery, s inbox.Settlement) error {
	var err error
	switch s.Action {
	case inbox.Ack:
		err = d.Ack(false)
	case inbox.DeadLetter:
		err = d.Nack(false, false)
	default:
		err = d.Nack(false, true)
	}
	if err != nil {
		return fmt.Errorf("%v delivery %d: %w", s.Action, d.DeliveryTag, err)
	}
	return nil
}
