package watermill

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/hapaxmq/hapax"
)

// What a run produced is the receipt of its message; nothing produced is no receipt.
// v is a varint as in encoding/binary; a text is its length (v) and its bytes.
//
//	version │ message …
//	message = UUID (text) │ payload (text) │ entries of metadata (v) │ name, value (texts) …
//
// Metadata are in the order of their names.
const version = 1

func encode(messages []*message.Message) hapax.Receipt {
	if len(messages) == 0 {
		return nil
	}
	b := []byte{version}
	for _, m := range messages {
		b = appendText(b, m.UUID)
		b = appendText(b, m.Payload)
		b = binary.AppendUvarint(b, uint64(len(m.Metadata)))
		for _, name := range slices.Sorted(maps.Keys(m.Metadata)) {
			b = appendText(b, name)
			b = appendText(b, m.Metadata[name])
		}
	}
	return b
}

func appendText[T string | message.Payload](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// decode makes messages anew of what encode kept. They share no bytes with r.
func decode(r hapax.Receipt) ([]*message.Message, error) {
	if len(r) == 0 {
		return nil, nil
	}
	if r[0] != version {
		return nil, fmt.Errorf("watermill: receipt of version %d: want %d", r[0], version)
	}
	d := decoder{rest: r[1:]}
	var messages []*message.Message
	for len(d.rest) > 0 {
		uuid, payload := d.text(), d.text()
		m := message.NewMessage(uuid, message.Payload(payload))
		for n := d.number(); n > 0 && !d.broken; n-- {
			name := d.text()
			m.Metadata[name] = d.text()
		}
		if d.broken {
			return nil, fmt.Errorf("watermill: receipt: %w", hapax.ErrCorrupt)
		}
		messages = append(messages, m)
	}
	return messages, nil
}

// decoder reads until something is not there; then it is broken and gives zeros.
type decoder struct {
	rest   []byte
	broken bool
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.rest, d.broken = nil, true
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) text() string {
	n := d.number()
	if n > uint64(len(d.rest)) {
		d.rest, d.broken = nil, true
		return ""
	}
	text := string(d.rest[:n])
	d.rest = d.rest[n:]
	return text
}
