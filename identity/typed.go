package identity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/hapaxmq/hapax"
)

// Typed is the identity that a message has by one alternative of a spec.
type Typed struct {
	As string // the alternative; "" where the spec has no other
	ID []byte // as of [Extractor.Append]
}

// Typed returns the identities of the message whose id an operator types, with no
// message at hand: one by each alternative of the spec that is made of so many texts,
// as nobody knows which of them the message has. In their order, a text stands for a
// key, for a header, for a field of json, for a CloudEvent's source, for its id, and
// for the value where the spec takes the content of that. Of a field, text that is not
// JSON is a string: 7 is a number, and "7" in its quotes is a string.
//
// Where no alternative is made of one text, one is the value of the whole message.
// Errors say what is to be typed; those of single texts are as for
// [Extractor.Append].
func (x *Extractor) Typed(texts ...string) (all []Typed, err error) {
	for i, parts := range x.alternatives {
		if len(textsOf(parts)) != len(texts) {
			continue
		}
		var id []byte
		if i > 0 {
			id = append(id, byte(tagAlternative+i))
		}
		id, wrong := appendTyped(id, parts, texts)
		switch {
		case wrong != nil && err == nil:
			err = wrong
		case wrong == nil && len(x.alternatives) > 1:
			all = append(all, Typed{As: partsString(parts), ID: id})
		case wrong == nil:
			all = append(all, Typed{ID: id})
		}
	}
	switch {
	case len(all) > 0:
		return all, nil
	case err != nil:
		return nil, err
	case len(texts) != 1:
		return nil, errors.New("want " + x.wanted())
	}
	id, err := x.Append(nil, &hapax.Message{Value: []byte(texts[0])})
	switch {
	case err == nil:
		return []Typed{{ID: id}}, nil
	case x.NeedsEnvelope():
		return nil, errors.New("want " + x.wanted())
	}
	return nil, fmt.Errorf("want %s; or the whole value: %w", x.wanted(), err)
}

// IsSingle reports whether the spec has no fallback and [Extractor.Typed] wants one
// text, such as that of one header or one field.
func (x *Extractor) IsSingle() bool {
	return len(x.alternatives) == 1 && len(textsOf(x.alternatives[0])) == 1
}

// wanted says which texts an operator is to type.
func (x *Extractor) wanted() string {
	wanted := make([]string, len(x.alternatives))
	for i, parts := range x.alternatives {
		if wanted[i] = strings.Join(textsOf(parts), " and "); len(textsOf(parts)) > 1 {
			wanted[i] += ", each by itself"
		}
	}
	return strings.Join(wanted, ", or ")
}

// textsOf names the texts that parts are made of.
func textsOf(parts []part) (all []string) {
	for i := range parts {
		switch p := &parts[i]; p.kind {
		case key, header:
			all = append(all, p.String())
		case jsonPaths:
			for k := range p.paths.list {
				all = append(all, "json:"+p.paths.path(k))
			}
		case cloudEvents:
			all = append(all, "source", "id")
		default:
			all = append(all, "the value")
		}
	}
	return all
}

// appendTyped is appendParts of a message that has these texts.
func appendTyped(dst []byte, parts []part, texts []string) (_ []byte, err error) {
	if len(parts) == 1 {
		return parts[0].appendTyped(dst, texts)
	}
	dst = append(dst, tagComposite)
	for i := range parts {
		n := len(textsOf(parts[i : i+1]))
		start := len(dst)
		dst = binary.BigEndian.AppendUint64(dst, 0)
		if dst, err = parts[i].appendTyped(dst, texts[:n]); err != nil {
			return dst, err
		}
		binary.BigEndian.PutUint64(dst[start:], uint64(len(dst)-start-8))
		texts = texts[n:]
	}
	return dst, nil
}

// appendTyped is append of a message that has these texts. On an error, what it
// returns begins with dst.
func (p *part) appendTyped(dst []byte, texts []string) (_ []byte, err error) {
	switch {
	case p.kind == key:
		return p.appendBytes(dst, tagKey, []byte(texts[0]))
	case p.kind == header:
		return p.appendBytes(dst, tagHeader, []byte(texts[0]))
	case p.kind == cloudEvents:
		for i, text := range texts {
			if text == "" {
				return dst, p.missing[i]
			}
		}
		dst = binary.BigEndian.AppendUint64(append(dst, tagCloudEvent), uint64(len(texts[eventSource])))
		return append(append(dst, texts[eventSource]...), texts[eventID]...), nil
	case p.kind == jsonPaths && len(texts) == 1:
		return p.appendField(append(dst, tagJSON), 0, texts[0])
	case p.kind == jsonPaths:
		dst = append(dst, tagJSONs)
		separator := byte('[')
		for i, text := range texts {
			if dst, err = p.appendField(append(dst, separator), i, text); err != nil {
				return dst, err
			}
			separator = ','
		}
		return append(dst, ']'), nil
	}
	return p.append(dst, &hapax.Message{Value: []byte(texts[0])})
}

// appendField appends the canonical form of what is typed for a path.
func (p *part) appendField(dst []byte, path int, text string) ([]byte, error) {
	start := len(dst)
	dst, f := canonicalise(dst, []byte(text), nil)
	switch {
	case f.what == "" && string(dst[start:]) == "null":
		return dst[:start], p.missing[path]
	case f.what == "":
		return dst, nil
	case f.refused || !utf8.ValidString(text):
		return dst[:start], f.err()
	}
	dst = append(dst[:start], '"')
	for _, r := range text {
		dst = appendEscaped(dst, r)
	}
	return append(dst, '"'), nil
}
