package hapax

import "time"

// Message is what arrives, perhaps twice. Hapax reads it and never changes it:
// the slices stay the caller's.
type Message struct {
	Key      []byte
	Value    []byte
	Headers  []Header
	Time     time.Time // event time, as the sender stamped it; zero if it did not
	Position Position
}

// Header is one name and value beside a message's payload.
type Header struct {
	Name  string
	Value []byte
}

// Header returns the value of the first header with that name and whether
// there is one.
func (m *Message) Header(name string) ([]byte, bool) {
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			return m.Headers[i].Value, true
		}
	}
	return nil, false
}

// Position is where in its source a message stood: a topic's partition and
// an offset, a file and a record number. The same position met again before it
// was confirmed is a redelivery of the first copy, not a duplicate of it.
type Position struct {
	Source string
	Offset int64
}

// Identity names a message inside a [Scope]: the canonical bytes of an id, a
// content hash or a composite of them, as package identity builds them. Two
// messages with equal identities in one scope are copies of one another.
type Identity []byte

// Scope is where an identity must be unique: a topic, a consumer, a tenant.
// The same event is handled once per handler because each has its own scope.
type Scope string

// Sequence names a message by its place in its producer's own numbering,
// which costs memory per producer instead of per message.
type Sequence struct {
	Producer Identity
	Epoch    uint32 // a producer's restart; a higher epoch fences the lower ones
	Number   uint64
}
