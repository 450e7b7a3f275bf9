package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hapaxmq/hapax"
)

// Limits of a spec.
const (
	maxSpec         = 4096 // bytes
	maxAlternatives = 8
	maxParts        = 16
)

// kind is one way to name a message.
type kind uint8

const (
	line kind = iota
	key
	header
	jsonPaths
	cloudEvents
	content
	contentWithout
	contentOnly
	sequence
)

// kinds is the grammar, by kind, as errors tell it.
var kinds = [...]string{
	line: "line", key: "key", header: "header:NAME", jsonPaths: "json:PATH[,PATH…]",
	cloudEvents: "cloudevents", content: "content",
	contentWithout: "content:-PATH[,PATH…]", contentOnly: "content:+PATH[,PATH…]",
	sequence: "sequence:PRODUCER_PATH,NUMBER_PATH[,EPOCH_PATH]",
}

// part is one kind with what it reads.
type part struct {
	kind  kind
	name  string // of the header
	paths paths
	// missing are the errors for a message that lacks what the part reads, by
	// the number of the path where there are several.
	missing []error
}

// Extractor names messages in the way of one spec. It is immutable and safe for
// concurrent use.
type Extractor struct {
	alternatives [][]part // the first that is not missing counts
}

// Parse reads a spec, whose grammar is in the package comment. Its errors say
// which part is wrong and what is known.
func Parse(spec string) (*Extractor, error) {
	x, err := (&parser{spec: spec}).parse()
	if err != nil {
		return nil, fmt.Errorf("identity %.200q: %w", spec, err)
	}
	return x, nil
}

// ParseSetting is Parse for a setting of a topic. Its records are no lines and have no
// numbering of their own, so it knows neither line nor sequence. Errors do not repeat
// the spec, which stands beside the setting's name.
func ParseSetting(spec string) (*Extractor, error) {
	return (&parser{spec: spec, topic: true}).parse()
}

// parser reads a spec.
type parser struct {
	spec  string
	topic bool // it is of a topic's records
}

func (p *parser) parse() (*Extractor, error) {
	switch {
	case p.spec == "":
		return nil, fmt.Errorf("it is empty: want %s", p.known())
	case len(p.spec) > maxSpec:
		return nil, fmt.Errorf("%d bytes: want at most %d", len(p.spec), maxSpec)
	case !utf8.ValidString(p.spec):
		return nil, errors.New("it is not valid UTF-8")
	}
	x := new(Extractor)
	for _, text := range splitUnescaped(p.spec, '|') {
		if n := len(x.alternatives); n > 0 && always(x.alternatives[n-1]) {
			return nil, fmt.Errorf("%q is never reached: what stands before it names every message", text)
		}
		parts, err := p.parts(text)
		if err != nil {
			return nil, err
		}
		x.alternatives = append(x.alternatives, parts)
	}
	if n := len(x.alternatives); n > maxAlternatives {
		return nil, fmt.Errorf("%d alternatives: want at most %d", n, maxAlternatives)
	}
	if err := x.checkSequence(); err != nil {
		return nil, err
	}
	return x, nil
}

// checkSequence refuses a sequence beside anything else: numbers could not be
// compared with other ids.
func (x *Extractor) checkSequence() error {
	if x.IsSequence() {
		return nil
	}
	for _, parts := range x.alternatives {
		for _, p := range parts {
			if p.kind == sequence {
				return fmt.Errorf("%q stands alone: it is joined with nothing by + or |", p.String())
			}
		}
	}
	return nil
}

// parts reads the parts of one alternative.
func (p *parser) parts(text string) ([]part, error) {
	var parts []part
	texts := splitUnescaped(text, '+')
	for i := 0; i < len(texts); i++ {
		text := texts[i]
		if text == "content:" && i+1 < len(texts) { // the plus is content's own
			i++
			text += "+" + texts[i]
		}
		if text == "" {
			return nil, errors.New("nothing stands on one side of a + or |")
		}
		one, err := p.part(text)
		switch {
		case err != nil && text == p.spec: // which is told anyway
			return nil, err
		case err != nil:
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		parts = append(parts, one)
	}
	if len(parts) > maxParts {
		return nil, fmt.Errorf("%d parts: want at most %d", len(parts), maxParts)
	}
	return parts, nil
}

func (p *parser) part(text string) (one part, err error) {
	name, what, given := strings.Cut(text, ":")
	switch {
	case name == "line" && !given && !p.topic:
		return part{kind: line}, nil
	case name == "key" && !given:
		return part{kind: key, missing: []error{missing("it has no key")}}, nil
	case name == "cloudevents" && !given:
		return newCloudEvents(), nil
	case (name == "content" || name == "value") && !given:
		return part{kind: content}, nil
	case name == "header" && given:
		one.kind = header
		if one.name, err = parseHeader(what); err == nil {
			one.missing = []error{missing("it has no header %q", one.name)}
		}
		return one, err
	case name == "json" && given:
		return newPaths(jsonPaths, what)
	case name == "content" && strings.HasPrefix(what, "-"):
		return newPaths(contentWithout, what[1:])
	case name == "content" && strings.HasPrefix(what, "+"):
		return newPaths(contentOnly, what[1:])
	case name == "sequence" && given && !p.topic:
		if one, err = newPaths(sequence, what); err == nil && len(one.paths.list) != 2 && len(one.paths.list) != 3 {
			err = fmt.Errorf("%d paths: want %s", len(one.paths.list), kinds[sequence])
		}
		return one, err
	}
	return part{}, fmt.Errorf("no such kind: want %s", p.known())
}

// newPaths is a part of kind k that reads the paths of a list.
func newPaths(k kind, list string) (p part, err error) {
	p.kind = k
	if p.paths, err = parsePaths(list); err != nil {
		return part{}, err
	}
	if k == contentOnly {
		p.missing = []error{missing("its JSON has nothing at any of %s", p.paths)}
		return p, nil
	}
	for i := range p.paths.list {
		p.missing = append(p.missing, missing("its JSON has nothing at %q", p.paths.path(i)))
	}
	return p, nil
}

func parseHeader(text string) (string, error) {
	if text == "" {
		return "", errors.New("the header's name is empty")
	}
	if len(splitUnescaped(text, ',')) > 1 {
		return "", errors.New(`want one header: join several by +, as in header:a+header:b, or name one to fall back on by |, as in header:a|header:b (a comma of the name itself is \,)`)
	}
	return unescape(text)
}

// missing is an error made once for many messages.
func missing(format string, args ...any) error {
	return fmt.Errorf("%w: %s", hapax.ErrMissing, fmt.Sprintf(format, args...))
}

// known lists the kinds.
func (p *parser) known() string {
	words := slices.Clone(kinds[:])
	words[content] += " (or value)"
	if p.topic {
		words[content] = "value"
		words = words[line+1 : sequence]
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last] + ", joined by + or, as a fallback, |"
}

// always reports whether the parts name every message.
func always(parts []part) bool {
	for _, p := range parts {
		if p.kind != line && p.kind != content {
			return false
		}
	}
	return true
}

// String is the canonical spec: Parse reads it as the same identity.
func (x *Extractor) String() string {
	alternatives := make([]string, len(x.alternatives))
	for i, parts := range x.alternatives {
		alternatives[i] = partsString(parts)
	}
	return strings.Join(alternatives, "|")
}

func partsString(parts []part) string {
	texts := make([]string, len(parts))
	for i := range parts {
		texts[i] = parts[i].String()
	}
	return strings.Join(texts, "+")
}

func (p *part) String() string {
	switch p.kind {
	case header:
		return "header:" + escape(p.name, `+|,\`)
	case jsonPaths:
		return "json:" + p.paths.String()
	case contentWithout:
		return "content:-" + p.paths.String()
	case contentOnly:
		return "content:+" + p.paths.String()
	case sequence:
		return "sequence:" + p.paths.String()
	}
	return kinds[p.kind]
}

// IsSequence reports whether the spec is a sequence, so that [Extractor.Sequence]
// may be called.
func (x *Extractor) IsSequence() bool {
	return len(x.alternatives) == 1 && len(x.alternatives[0]) == 1 && x.alternatives[0][0].kind == sequence
}

// Reads is what of a message a spec reads. Who makes messages only to name them may
// leave out the rest.
type Reads struct {
	Key, Value bool
	Headers    []string // the names, each once
	AllHeaders bool     // which ones depends on the message
}

// Reads is what of a message the spec reads.
func (x *Extractor) Reads() (r Reads) {
	for _, parts := range x.alternatives {
		for _, p := range parts {
			switch p.kind {
			case key:
				r.Key = true
			case header:
				if !slices.Contains(r.Headers, p.name) {
					r.Headers = append(r.Headers, p.name)
				}
			case cloudEvents:
				r.AllHeaders, r.Value = true, true
			default:
				r.Value = true
			}
		}
	}
	return r
}

// NamesByKey reports whether some message may be named by its key alone, so that
// each key could be there only once.
func (x *Extractor) NamesByKey() bool {
	return slices.ContainsFunc(x.alternatives, func(parts []part) bool {
		return !slices.ContainsFunc(parts, func(p part) bool { return p.kind != key })
	})
}

// NamesByValue reports whether copies always have the same whole value, so that a
// digest of it tells nothing more.
func (x *Extractor) NamesByValue() bool {
	return !slices.ContainsFunc(x.alternatives, func(parts []part) bool {
		return !slices.ContainsFunc(parts, func(p part) bool { return p.kind == line || p.kind == content })
	})
}

// NeedsEnvelope reports whether the spec names no message that has neither a key nor
// headers, such as a line of a file.
func (x *Extractor) NeedsEnvelope() bool {
	for _, parts := range x.alternatives {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.kind == key || p.kind == header }) {
			return false
		}
	}
	return true
}

// NeedsJSON reports whether a message whose value is not JSON is, or may be,
// malformed to the spec.
func (x *Extractor) NeedsJSON() bool {
	for _, parts := range x.alternatives {
		for _, p := range parts {
			switch p.kind {
			case jsonPaths, cloudEvents, contentWithout, contentOnly, sequence:
				return true
			}
		}
	}
	return false
}
