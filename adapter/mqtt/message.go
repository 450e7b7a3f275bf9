package mqtt

import (
	"slices"
	"strings"
	"unicode"

	"github.com/eclipse/paho.golang/paho"

	"github.com/hapaxmq/hapax"
)

// The user properties of dead letters. The last one is the first 1,024 bytes of an
// error, as one line.
const (
	PropertyTopic = "hapax-topic" // where the message was published
	PropertyError = "hapax-error"
)

const longestReason = 1_024

// Message is a delivery as an inbox takes it in. Its payload is shared, not copied.
//
//   - Key is the topic.
//   - Headers are the properties that are set: content-type, response-topic,
//     correlation-data; then the user properties in their order.
//   - There is no position and no time, for MQTT has none: name messages by an id of
//     their own.
func Message(p *paho.Publish) *hapax.Message {
	m := &hapax.Message{Key: []byte(p.Topic), Value: p.Payload}
	if p.Payload == nil {
		m.Value = []byte{} // an empty payload is content
	}
	if p.Properties == nil {
		return m
	}
	for _, property := range [...]struct {
		name  string
		value []byte
	}{
		{"content-type", []byte(p.Properties.ContentType)},
		{"response-topic", []byte(p.Properties.ResponseTopic)},
		{"correlation-data", p.Properties.CorrelationData},
	} {
		if len(property.value) > 0 {
			m.Headers = append(m.Headers, hapax.Header{Name: property.name, Value: property.value})
		}
	}
	for _, u := range p.Properties.User {
		m.Headers = append(m.Headers, hapax.Header{Name: u.Key, Value: []byte(u.Value)})
	}
	return m
}

// DeadLetter is a delivery as it is put to the dead letters: with its payload and its
// properties, but for those of its delivery, and where it was published, and why it
// is here. Publish it, and acknowledge the delivery only when the broker has it: a
// reason code of 0x10 says that it has it not, for nobody subscribes to the topic.
func DeadLetter(topic string, p *paho.Publish, why error) *paho.Publish {
	var properties paho.PublishProperties
	if p.Properties != nil {
		properties = *p.Properties
	}
	properties.MessageExpiry, properties.SubscriptionIdentifier, properties.TopicAlias = nil, nil, nil
	properties.User = append(slices.Clone(properties.User),
		paho.UserProperty{Key: PropertyTopic, Value: p.Topic}, paho.UserProperty{Key: PropertyError, Value: reason(why)})
	return &paho.Publish{QoS: 1, Topic: topic, Payload: p.Payload, Properties: &properties}
}

// reason is an error as a broker takes it, which ends a connection over a control
// character.
func reason(why error) string {
	if why == nil {
		return "no reason is given"
	}
	text := why.Error()
	text = strings.ToValidUTF8(text[:min(len(text), longestReason)], "")
	printed := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	return strings.Join(strings.Fields(printed), " ")
}
