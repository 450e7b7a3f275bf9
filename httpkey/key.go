package httpkey

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/hapaxmq/hapax"
)

const (
	// Header carries the key of a request.
	Header = "Idempotency-Key"
	// ReplayedHeader is "true" in a response that was given before.
	ReplayedHeader = "Idempotency-Replayed"
)

const (
	// MaxKey is how many characters a key may have.
	MaxKey = 255
	// maxField bounds what is read of a field: a key of escapes only, and parameters.
	maxField = 1024
)

// The grammar of RFC 9651, which the draft names by its predecessor RFC 8941: an Item
// that is a String (3.3.3), perhaps with parameters (3.1.2).
const (
	sfString    = `"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"`
	sfNumber    = `-?[0-9]{1,12}\.[0-9]{1,3}|-?[0-9]{1,15}`
	sfToken     = "[A-Za-z*][-!#$%&'*+.^_`|~0-9A-Za-z:/]*"
	sfOther     = `:[A-Za-z0-9+/=]*:|\?[01]|@-?[0-9]{1,15}|%"(?:[\x20\x21\x23\x24\x26-\x7e]|%[0-9a-f]{2})*"`
	sfParameter = `; *[a-z*][a-z0-9_.*-]*(?:=(?:` + sfNumber + `|` + sfString + `|` + sfToken + `|` + sfOther + `))?`
)

var (
	quoted  = regexp.MustCompile(`^` + sfString + `(?:` + sfParameter + `)*$`)
	bare    = regexp.MustCompile(`^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+$`) // what can be seen, but for " , ; and \
	escaped = strings.NewReplacer(`\\`, `\`, `\"`, `"`)
	escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
)

// ParseKey reads the value of the header field: a String of RFC 9651, as the draft
// has it, whose parameters are ignored, or the same key without quotes, as clients
// wrote it before. A key has 1 to [MaxKey] characters of ASCII. The error is
// [hapax.ErrMalformed].
func ParseKey(value string) (string, error) {
	if len(value) > maxField {
		return "", fmt.Errorf("%w: %s of %d bytes", hapax.ErrMalformed, Header, len(value))
	}
	value = strings.Trim(value, " ")
	key := value
	if parts := quoted.FindStringSubmatch(value); parts != nil {
		key = escaped.Replace(parts[1])
	} else if !bare.MatchString(value) {
		return "", fmt.Errorf(`%w: %s is no string in quotes, such as "8e03978e-40d5"`, hapax.ErrMalformed, Header)
	}
	if key == "" || len(key) > MaxKey {
		return "", fmt.Errorf("%w: %s of %d characters, want 1 to %d", hapax.ErrMalformed, Header, len(key), MaxKey)
	}
	return key, nil
}

// FormatKey writes a key as the draft has it: a String of RFC 9651. The error is
// [hapax.ErrMalformed]: see [ParseKey].
func FormatKey(key string) (string, error) {
	value := `"` + escapes.Replace(key) + `"`
	if _, err := ParseKey(value); err != nil {
		return "", err
	}
	return value, nil
}

// NewKey mints a key of 128 random bits.
func NewKey() string { return rand.Text() }

// keyOf reads the key of a request. The error is [hapax.ErrMissing] or
// [hapax.ErrMalformed].
func keyOf(h http.Header) (string, error) {
	switch values := h.Values(Header); len(values) {
	case 0:
		return "", fmt.Errorf("%w: no %s", hapax.ErrMissing, Header)
	case 1:
		return ParseKey(values[0])
	default:
		return "", fmt.Errorf("%w: %d fields %s, want one", hapax.ErrMalformed, len(values), Header)
	}
}
