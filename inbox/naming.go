package inbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
)

// naming gives messages their identities and digests.
type naming struct {
	spec     string // for the log
	append   func(dst []byte, m *hapax.Message) ([]byte, error)
	numbered *identity.Extractor // of producers that number their messages; else nil
	position bool
	digests  bool

	missing identity.MissingPolicy
	content *identity.Extractor // for messages without an identity; else nil
}

// name is all that an inbox knows of a message by looking at it.
type name struct {
	identity hapax.Identity // empty: none, and the settings let it pass
	sequence hapax.Sequence
	digest   hapax.Digest
	key      key // of scope and identity
	lane     lane
}

// ChildID is [ChildID] of the message.
func (n *name) ChildID(step string) string {
	if len(n.identity) == 0 {
		return ""
	}
	return identity.ChildID(n.key[:], step)
}

func newNaming(o *Options) (naming, error) {
	n := naming{spec: o.Identity, append: o.Identify, digests: !o.NoDigests, missing: o.Missing}
	switch {
	case o.Identify != nil:
		n.spec = "a function"
	case o.Identity == ByPosition:
		n.append, n.position = appendPosition, true
	default:
		x, err := identity.Parse(o.Identity)
		if err != nil {
			return n, err
		}
		n.spec, n.append = x.String(), x.Append
		n.digests = n.digests && !x.NamesByValue()
		if x.IsSequence() {
			n.numbered = x
		}
	}
	if o.Missing != identity.ContentOnMissing {
		return n, nil
	}
	if n.position || n.numbered != nil {
		return n, errors.New("missing: content is no number, and this identity is one")
	}
	var err error
	n.content, err = identity.Parse("content")
	return n, err
}

// numbers tells whether messages are known by their place in a lane.
func (n *naming) numbers() bool { return n.position || n.numbered != nil }

// of names m. The error is [hapax.ErrMissing] or [hapax.ErrMalformed], or what
// Options.Identify said.
func (n *naming) of(s hapax.Scope, m *hapax.Message) (name, error) {
	id, err := n.append(nil, m)
	if err == nil && len(id) == 0 {
		err = hapax.ErrMissing
	}
	digests := n.digests
	if errors.Is(err, hapax.ErrMissing) {
		switch {
		case n.missing == identity.PassOnMissing:
			return name{}, nil
		case n.content != nil:
			digests = false
			id, err = n.content.Append(nil, m)
		}
	}
	if err != nil {
		return name{}, fmt.Errorf("name the message: %w", err)
	}
	known := name{identity: id, key: identity.SharedKey(s, id)}
	if digests {
		known.digest = digest(m.Value)
	}
	switch {
	case n.position:
		known.lane = lane{of: m.Position.Source, number: uint64(m.Position.Offset)}
	case n.numbered != nil:
		known.sequence, _, err = n.numbered.Sequence(nil, m)
		q := known.sequence
		known.lane = lane{of: string(q.Producer), epoch: q.Epoch, number: q.Number}
	}
	return known, err
}

// appendPosition is a position as an identity: eight bytes, and the source.
func appendPosition(dst []byte, m *hapax.Message) ([]byte, error) {
	p := m.Position
	if p.Source == "" || p.Offset < 0 {
		return dst, fmt.Errorf("%w: position %q, %d", hapax.ErrMissing, p.Source, p.Offset)
	}
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.Offset))
	return append(dst, p.Source...), nil
}

// The first byte of what is hashed as a digest.
const (
	digestNil  = 0 // a payload that is nil, such as Kafka's null
	digestOnly = 1 // the canonical JSON of a payload, or its bytes if it is none
)

// mayBeJSON tells by its first byte what can't be, which is quicker than to say why.
func mayBeJSON(payload []byte) bool {
	text := bytes.TrimLeft(payload, " \t\r\n")
	return len(text) > 0 && strings.IndexByte(`{["-0123456789tfn`, text[0]) >= 0
}

// digest is the digest of a payload in stores that several programs share: the
// first eight bytes of a SHA-256. Its form never changes, or all copies of what was
// marked before would be conflicts. It is never zero.
func digest(payload []byte) hapax.Digest {
	if payload == nil {
		return digestOf(digestNil, nil)
	}
	if mayBeJSON(payload) {
		if text, err := identity.AppendCanonical(make([]byte, 0, len(payload)), payload); err == nil {
			return digestOf(digestOnly, text)
		}
	}
	return digestOf(digestOnly, payload)
}

func digestOf(kind byte, payload []byte) hapax.Digest {
	var buf [512]byte // keeps the usual payload off the heap
	sum := sha256.Sum256(append(append(buf[:0], kind), payload...))
	return max(hapax.Digest(binary.BigEndian.Uint64(sum[:])), 1)
}
