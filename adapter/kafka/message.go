package kafka

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// The headers of dead letters, as text.
const (
	HeaderTopic     = "hapax-topic"     // where the record stood
	HeaderPartition = "hapax-partition" //
	HeaderOffset    = "hapax-offset"    //
	HeaderOutcome   = "hapax-outcome"   // a [hapax.Outcome], such as "conflicted"
	HeaderError     = "hapax-error"     // the first 1,024 bytes
)

// maxError bounds the text of an error in a dead letter, which must not grow beyond
// what a topic takes.
const maxError = 1_024

// source names a partition of the topic with that id, for ever.
func source(topicID [16]byte, number int32) string {
	return base64.RawURLEncoding.EncodeToString(topicID[:]) + "/" + strconv.Itoa(int(number))
}

// message is a record as a message, which shares its bytes.
func message(source string, r *kgo.Record) *hapax.Message {
	m := &hapax.Message{Key: r.Key, Value: r.Value, Position: hapax.Position{Source: source, Offset: r.Offset}}
	if r.Attrs.TimestampType() == 0 { // the producer's
		m.Time = r.Timestamp
	}
	if len(r.Headers) > 0 {
		m.Headers = make([]hapax.Header, len(r.Headers))
		for i, h := range r.Headers {
			m.Headers[i] = hapax.Header{Name: h.Key, Value: h.Value}
		}
	}
	return m
}

// deadLetter is a record as it is put to the dead letters.
func deadLetter(topic string, r *kgo.Record, h *inbox.Handled) *kgo.Record {
	text := ""
	if h.Err != nil {
		text = h.Err.Error()
	}
	text = strings.ToValidUTF8(text[:min(len(text), maxError)], "")
	headers := slices.Clone(r.Headers)
	for _, add := range [][2]string{
		{HeaderTopic, r.Topic},
		{HeaderPartition, strconv.Itoa(int(r.Partition))},
		{HeaderOffset, strconv.FormatInt(r.Offset, 10)},
		{HeaderOutcome, h.Result.Outcome.String()},
		{HeaderError, text},
	} {
		headers = append(headers, kgo.RecordHeader{Key: add[0], Value: []byte(add[1])})
	}
	return &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp, Headers: headers}
}
