package identity

import (
	"errors"

	"github.com/hapaxmq/hapax"
)

// Extractor names messages as a spec says. Safe for concurrent use.
type Extractor struct{ spec string }

// Parse reads a spec.
func Parse(spec string) (*Extractor, error) { return &Extractor{spec}, nil }

// String returns the canonical spec.
func (x *Extractor) String() string { return x.spec }

// IsSequence reports whether the spec is a sequence.
func (x *Extractor) IsSequence() bool { return false }

// NeedsJSON reports whether a value that is not JSON is an error.
func (x *Extractor) NeedsJSON() bool { return false }

// Append appends the identity of m to dst.
func (x *Extractor) Append(dst []byte, m *hapax.Message) ([]byte, error) {
	return append(dst, m.Value...), nil
}

// Sequence returns the sequence of m.
func (x *Extractor) Sequence(dst []byte, m *hapax.Message) (hapax.Sequence, []byte, error) {
	return hapax.Sequence{}, dst, errors.New("identity is not a sequence")
}

// AppendCanonical appends the canonical form of json to dst.
func AppendCanonical(dst, json []byte) ([]byte, error) { return append(dst, json...), nil }
