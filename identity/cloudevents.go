package identity

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/hapaxmq/hapax"
)

// The attributes that name a CloudEvent (CloudEvents 1.0, section 3.1), by the
// number of their paths.
const (
	eventSource = iota
	eventID
)

func newCloudEvents() part {
	attributes := paths{list: [][]string{eventSource: {"source"}, eventID: {"id"}}}
	for i, path := range attributes.list {
		attributes.top = plant(attributes.top, path, i)
	}
	return part{kind: cloudEvents, paths: attributes, missing: []error{
		eventSource: missing("the CloudEvent has no source"),
		eventID:     missing("the CloudEvent has no id"),
	}}
}

// appendCloudEvent reads binary mode if a header names an attribute, else
// structured mode. Both make the same identity of one event.
func (p *part) appendCloudEvent(dst []byte, m *hapax.Message) ([]byte, error) {
	var attributes [2]binaryAttribute
	isBinary := false
	for i := range m.Headers {
		h := &m.Headers[i]
		which, encoded := attributeOf(h.Name)
		if which >= 0 && !attributes[which].given {
			attributes[which] = binaryAttribute{value: h.Value, given: true, encoded: encoded}
			isBinary = true
		}
	}
	if !isBinary && m.Value == nil {
		return dst, errNoValue
	}
	if !isBinary {
		return p.appendStructured(dst, m.Value)
	}
	for i := range attributes {
		if len(attributes[i].value) == 0 {
			return dst, p.missing[i]
		}
	}
	dst = append(dst, tagCloudEvent)
	start := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, 0)
	dst = attributes[eventSource].append(dst)
	binary.BigEndian.PutUint64(dst[start:], uint64(len(dst)-start-8))
	return attributes[eventID].append(dst), nil
}

// appendStructured reads the event as a JSON object.
func (p *part) appendStructured(dst, text []byte) ([]byte, error) {
	f := finder{scanner: scanner{text: text}}
	if !f.all(p.paths.top) {
		return dst, f.fault.err()
	}
	for i, path := range p.paths.list {
		if f.absent(i) || f.null(i) {
			return dst, p.missing[i]
		}
		value := f.value(i)
		if value[0] != '"' {
			return dst, fmt.Errorf("%w: the CloudEvent's %s is not a string at byte %d",
				hapax.ErrMalformed, path[0], f.found[i].start)
		}
		if len(value) == len(`""`) {
			return dst, p.missing[i]
		}
	}
	dst = append(dst, tagCloudEvent)
	start := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, 0)
	dst, err := f.appendText(dst, eventSource)
	if err != nil {
		return dst, err
	}
	binary.BigEndian.PutUint64(dst[start:], uint64(len(dst)-start-8))
	return f.appendText(dst, eventID)
}

// binaryAttribute is an attribute as a header gives it.
type binaryAttribute struct {
	value   []byte
	given   bool
	encoded bool // with percent signs
}

// attributeOf tells which attribute a header is, or -1, and whether its value
// is percent-encoded. The bindings for Kafka and MQTT write ce_id, that for
// AMQP cloudEvents_id or cloudEvents:id; those for HTTP and NATS write ce-id and
// encode. HTTP's libraries change the case, so it does not count.
func attributeOf(header string) (attribute int, encoded bool) {
	for _, prefix := range [...]string{"ce_", "ce-", "cloudEvents_", "cloudEvents:"} {
		if len(header) <= len(prefix) || !strings.EqualFold(header[:len(prefix)], prefix) {
			continue
		}
		switch name := header[len(prefix):]; {
		case strings.EqualFold(name, "id"):
			return eventID, prefix == "ce-"
		case strings.EqualFold(name, "source"):
			return eventSource, prefix == "ce-"
		}
	}
	return -1, false
}

// EventHeader is the name by which a caller that keeps no names may hand on the
// header of a CloudEvent's source or id: one of a few constants that stand for the
// same attribute with the same encoding. For any other header it is empty. It
// allocates nothing.
func EventHeader(header []byte) string {
	const longest = len("cloudEvents:source")
	if len(header) > longest {
		return ""
	}
	switch which, encoded := attributeOf(string(header)); {
	case which == eventSource && encoded:
		return "ce-source"
	case which == eventSource:
		return "ce_source"
	case which == eventID && encoded:
		return "ce-id"
	case which == eventID:
		return "ce_id"
	}
	return ""
}

// append appends the attribute's value. A percent sign that encodes nothing
// stands for itself.
func (a *binaryAttribute) append(dst []byte) []byte {
	if !a.encoded {
		return append(dst, a.value...)
	}
	for i := 0; i < len(a.value); i++ {
		c := a.value[i]
		if c == '%' && i+2 < len(a.value) {
			high, ok1 := hexDigit(a.value[i+1])
			low, ok2 := hexDigit(a.value[i+2])
			if ok1 && ok2 {
				c = high<<4 | low
				i += 2
			}
		}
		dst = append(dst, c)
	}
	return dst
}
