package identity

import (
	"encoding/binary"
	"encoding/json"
	"errors"

	"github.com/hapaxmq/hapax"
)

// The first byte of an identity tells its kind, so that a key never meets a
// header or a JSON id of the same letters. It is a control character, which no
// line of text begins with: a line's identity is its bytes alone. These bytes
// live in shared stores and never change.
const (
	tagKey         = 0x01 // the key
	tagHeader      = 0x02 // the header's value
	tagJSON        = 0x03 // the value's canonical form
	tagJSONs       = 0x04 // the canonical form of an array of the values
	tagCloudEvent  = 0x05 // the source behind its length, the id
	tagContent     = 0x06 // the canonical form
	tagRaw         = 0x07 // the bytes
	tagContentOnly = 0x08 // as tagJSONs, with nothing in place of an absent value
	tagSequence    = 0x0e // the producer behind its length, the epoch, the number
	tagComposite   = 0x0f // the parts, each behind its length
	tagAlternative = 0x10 // plus the number of an alternative, before its own identity, but for the first
)

var errNoValue = missing("it has no value")

// Append appends the identity of m to dst. The bytes are canonical: messages
// are copies if and only if their bytes are equal. It allocates nothing if dst
// has room, and keeps neither slice.
//
// The error is [hapax.ErrMissing] if m has no identity of this kind,
// [hapax.ErrMalformed] if m cannot be read as what the spec needs, with the
// place in the value; dst is then returned as it was.
func (x *Extractor) Append(dst []byte, m *hapax.Message) ([]byte, error) {
	start, last := len(dst), len(x.alternatives)-1
	for i := 0; ; i++ {
		if i > 0 {
			dst = append(dst, byte(tagAlternative+i))
		}
		out, err := appendParts(dst, x.alternatives[i], m)
		if err == nil {
			return out, nil
		}
		dst = out[:start]
		if i == last || !errors.Is(err, hapax.ErrMissing) {
			return dst, err
		}
	}
}

// Header is the name of the header if that is all that the spec reads, else empty:
// then [AppendHeader] of its first value, if that is not empty, is the identity.
func (x *Extractor) Header() string {
	if len(x.alternatives) == 1 && len(x.alternatives[0]) == 1 {
		return x.alternatives[0][0].name // which only headers have
	}
	return ""
}

// AppendHeader appends the identity that the value of a header makes alone.
func AppendHeader(dst, value []byte) []byte { return append(append(dst, tagHeader), value...) }

// AppendID appends the identity of the message whose id an operator types, with
// no message at hand. If the first alternative of the spec is line, key, a
// header or json with one path, that is the id itself; for json, text that is not
// JSON is a string: 7 is a number, and "7" in its quotes is a string. For every
// other spec, id is the value of the whole message. Errors are as for
// [Extractor.Append].
func (x *Extractor) AppendID(dst []byte, id string) ([]byte, error) {
	if first := x.alternatives[0]; len(first) == 1 && len(textsOf(first)) == 1 {
		switch first[0].kind {
		case key, header, jsonPaths:
			out, err := first[0].appendTyped(dst, []string{id})
			if err != nil {
				return dst, err
			}
			return out, nil
		}
	}
	return x.Append(dst, &hapax.Message{Value: []byte(id)})
}

// appendParts appends the identity that the parts make together. On an error,
// what it returns begins with dst.
func appendParts(dst []byte, parts []part, m *hapax.Message) (_ []byte, err error) {
	if len(parts) == 1 {
		return parts[0].append(dst, m)
	}
	dst = append(dst, tagComposite)
	for i := range parts {
		start := len(dst)
		dst = binary.BigEndian.AppendUint64(dst, 0)
		if dst, err = parts[i].append(dst, m); err != nil {
			return dst, err
		}
		binary.BigEndian.PutUint64(dst[start:], uint64(len(dst)-start-8))
	}
	return dst, nil
}

// append appends the identity that the part alone makes. On an error, what it
// returns begins with dst.
func (p *part) append(dst []byte, m *hapax.Message) ([]byte, error) {
	if m.Value == nil && p.kind != key && p.kind != header && p.kind != cloudEvents {
		return dst, errNoValue
	}
	switch p.kind {
	case line:
		return append(dst, m.Value...), nil
	case key:
		return p.appendBytes(dst, tagKey, m.Key)
	case header:
		value, _ := m.Header(p.name)
		return p.appendBytes(dst, tagHeader, value)
	case jsonPaths:
		return p.appendJSON(dst, m.Value)
	case cloudEvents:
		return p.appendCloudEvent(dst, m)
	case content:
		return appendContent(dst, m.Value)
	case contentWithout:
		dst, f := canonicalise(append(dst, tagContent), m.Value, p.paths.top)
		if f.what != "" {
			return dst, f.err()
		}
		return dst, nil
	case contentOnly:
		return p.appendContentOnly(dst, m.Value)
	default:
		return p.appendSequence(dst, m.Value)
	}
}

func (p *part) appendBytes(dst []byte, tag byte, id []byte) ([]byte, error) {
	if len(id) == 0 {
		return dst, p.missing[0]
	}
	return append(append(dst, tag), id...), nil
}

func (p *part) appendJSON(dst, text []byte) ([]byte, error) {
	f := finder{scanner: scanner{text: text}}
	if !f.all(p.paths.top) {
		return dst, f.fault.err()
	}
	for i := range p.paths.list {
		if f.absent(i) || f.null(i) {
			return dst, p.missing[i]
		}
	}
	if len(p.paths.list) == 1 {
		return f.append(append(dst, tagJSON), 0)
	}
	return f.appendList(append(dst, tagJSONs), len(p.paths.list))
}

func (p *part) appendContentOnly(dst, text []byte) ([]byte, error) {
	f := finder{scanner: scanner{text: text}}
	if !f.all(p.paths.top) {
		return dst, f.fault.err()
	}
	for i := range p.paths.list {
		if !f.absent(i) {
			return f.appendList(append(dst, tagContentOnly), len(p.paths.list))
		}
	}
	return dst, p.missing[0]
}

// appendContent takes what is not JSON by its bytes. JSON that has no canonical
// form is an error, however: its bytes would tell copies apart.
func appendContent(dst, value []byte) ([]byte, error) {
	start := len(dst)
	dst, f := canonicalise(append(dst, tagContent), value, nil)
	if f.what == "" {
		return dst, nil
	}
	if f.refused && json.Valid(value) {
		return dst, f.err()
	}
	return append(append(dst[:start], tagRaw), value...), nil
}
