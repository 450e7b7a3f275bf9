package identity

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"

	"github.com/hapaxmq/hapax"
)

// maxDepth bounds the nesting of objects and arrays, and with it the stack.
const maxDepth = 512

// scanner reads one JSON text (RFC 8259), which must be valid UTF-8. Its methods
// take the offset of what they read and return the offset behind it, or -1
// after noting the fault. Nothing is allocated and the text is not changed.
type scanner struct {
	text  []byte
	fault fault
}

// fault is what is wrong with a text, and where. The zero fault is none.
type fault struct {
	what    string
	at      int
	refused bool // it is JSON so far, but not ours
}

// err is the fault as an error.
func (f fault) err() error {
	return fmt.Errorf("%w: JSON: %s at byte %d", hapax.ErrMalformed, f.what, f.at)
}

func (s *scanner) fail(at int, what string) int {
	s.fault = fault{what: what, at: at}
	return -1
}

// refuse notes what RFC 8259 allows or leaves open, and we do not take.
func (s *scanner) refuse(at int, what string) int {
	s.fault = fault{what, at, true}
	return -1
}

// What a string holds besides plain ASCII, as flags.
const (
	hasEscape = 1 << iota
	hasUnicode
)

// Eight bytes at a time: a constant in each byte of a word.
const (
	eachOne   = 0x0101010101010101
	eachHigh  = 0x80 * eachOne
	eachSpace = ' ' * eachOne
)

// special marks, by the high bit of its byte, the first byte of w that a string
// cannot simply hold: a quote, a backslash, a control character or one outside
// of ASCII. Marks above the first one may be false.
//
// x-n has its high bit set where an ASCII byte x is below n; a borrow can only
// come from a byte that is itself marked. Flipping bit 1 puts the quote below
// the space and leaves the control characters there.
func special(w uint64) uint64 {
	quoteOrControl := (w ^ 0x02*eachOne) - 0x21*eachOne
	backslash := (w ^ '\\'*eachOne) - eachOne
	return (quoteOrControl | backslash | w) & eachHigh
}

// str reads the string whose opening quote is at i and tells what it holds.
func (s *scanner) str(i int) (end, holds int) {
	text := s.text
	i++
	for {
		for i+8 <= len(text) {
			if marks := special(binary.LittleEndian.Uint64(text[i:])); marks != 0 {
				i += bits.TrailingZeros64(marks) / 8
				break
			}
			i += 8
		}
		if i >= len(text) {
			return s.fail(i, "unterminated string"), 0
		}
		switch c := text[i]; {
		case c == '"':
			return i + 1, holds
		case c == '\\':
			holds |= hasEscape
			if i = s.escape(i); i < 0 {
				return -1, 0
			}
		case c < ' ':
			return s.fail(i, "control character in a string"), 0
		case c < utf8.RuneSelf:
			i++
		default:
			holds |= hasUnicode
			if i = s.unicode(i); i < 0 {
				return -1, 0
			}
		}
	}
}

// unicode reads the characters outside of ASCII at i.
func (s *scanner) unicode(i int) int {
	for text := s.text; i < len(text) && text[i] >= utf8.RuneSelf; {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return s.refuse(i, "invalid UTF-8")
		}
		i += n
	}
	return i
}

// escape reads the escape sequence whose backslash is at i. Half a surrogate
// pair passes: it is valid syntax, though it stands for no character.
func (s *scanner) escape(i int) int {
	if i+1 >= len(s.text) {
		return s.fail(len(s.text), "unterminated string")
	}
	switch s.text[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		if _, ok := hex4(s.text[i+2:]); ok {
			return i + 6
		}
	}
	return s.fail(i, "invalid escape sequence")
}

// hex4 reads the four hexadecimal digits that b begins with.
func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		digit, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(digit)
	}
	return r, true
}

func hexDigit(c byte) (digit byte, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// number reads the number at i and tells whether it is plain: no exponent, and no
// zero at the end of a fraction.
func (s *scanner) number(i int) (end int, plain bool) {
	text := s.text
	if text[i] == '-' {
		i++
	}
	start := i
	i = digits(text, i)
	switch {
	case i == start:
		return s.fail(i, "want a digit"), false
	case text[start] == '0' && i > start+1:
		return s.fail(start, "number with a leading zero"), false
	}
	plain = true
	if i < len(text) && text[i] == '.' {
		start = i + 1
		if i = digits(text, start); i == start {
			return s.fail(i, "want a digit"), false
		}
		plain = text[i-1] != '0'
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		i, plain = i+1, false
		if i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		start = i
		if i = digits(text, start); i == start {
			return s.fail(i, "want a digit"), false
		}
	}
	return i, plain
}

// digits returns the offset behind the decimal digits at i.
func digits(text []byte, i int) int {
	for i < len(text) && text[i]-'0' <= 9 {
		i++
	}
	return i
}

// space returns the offset of what follows the white space at i.
func (s *scanner) space(i int) int {
	if i < len(s.text) && s.text[i] > ' ' {
		return i
	}
	return s.skipSpace(i)
}

func (s *scanner) skipSpace(i int) int {
	text := s.text
	for i < len(text) {
		switch text[i] {
		case ' ', '\n', '\t', '\r':
			i++
		default:
			return i
		}
		for i+8 <= len(text) && binary.LittleEndian.Uint64(text[i:]) == eachSpace {
			i += 8 // indentation
		}
	}
	return i
}

// literal reads true, false or null at i.
func (s *scanner) literal(i int) int {
	word := "null"
	switch s.text[i] {
	case 't':
		word = "true"
	case 'f':
		word = "false"
	}
	if end := i + len(word); end <= len(s.text) && string(s.text[i:end]) == word {
		return end
	}
	if bytes.HasPrefix(s.text[i:], []byte("\ufeff")) {
		return s.fail(i, "take away the byte order mark")
	}
	return s.fail(i, "want a value")
}

// skip reads the value at i, whatever it is, inside of depth others.
func (s *scanner) skip(i, depth int) int {
	if i >= len(s.text) {
		return s.fail(i, "want a value")
	}
	switch c := s.text[i]; c {
	case '"':
		i, _ = s.str(i)
		return i
	case '{':
		return s.object(i, depth)
	case '[':
		return s.array(i, depth)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		i, _ = s.number(i)
		return i
	}
	return s.literal(i)
}

func (s *scanner) object(i, depth int) int {
	i, more := s.open(i, '}', depth)
	for more {
		if i >= len(s.text) || s.text[i] != '"' {
			return s.fail(i, noName)
		}
		end, _ := s.str(i)
		if end < 0 {
			return -1
		}
		if i = s.colon(end); i < 0 {
			return -1
		}
		if i < len(s.text) && s.text[i] == '"' {
			i, _ = s.str(i)
		} else {
			i = s.skip(i, depth+1)
		}
		if i < 0 {
			return -1
		}
		i, more = s.next(i, '}')
	}
	return i
}

func (s *scanner) array(i, depth int) int {
	i, more := s.open(i, ']', depth)
	for more {
		if i = s.skip(i, depth+1); i < 0 {
			return -1
		}
		i, more = s.next(i, ']')
	}
	return i
}

// open enters the object or array at i. There is more at the returned offset,
// unless it is empty and the offset is behind it.
func (s *scanner) open(i int, closing byte, depth int) (at int, more bool) {
	if depth >= maxDepth {
		return s.refuse(i, "nested too deeply"), false
	}
	i = s.space(i + 1)
	if i < len(s.text) && s.text[i] == closing {
		return i + 1, false
	}
	return i, true
}

// next goes on behind an element that ends at i, as open does.
func (s *scanner) next(i int, closing byte) (at int, more bool) {
	if text := s.text; i+1 < len(text) && text[i] == ',' && text[i+1] > ' ' {
		return i + 1, true
	}
	i = s.space(i)
	switch {
	case i >= len(s.text):
		return s.fail(i, "unexpected end"), false
	case s.text[i] == ',':
		return s.space(i + 1), true
	case s.text[i] == closing:
		return i + 1, false
	}
	return s.fail(i, "want ',' or the end of an object or array"), false
}

// colon reads the colon behind a name that ends at i, and returns the offset of
// the value.
func (s *scanner) colon(i int) int {
	if text := s.text; i+1 < len(text) && text[i] == ':' && text[i+1] > ' ' {
		return i + 1
	}
	i = s.space(i)
	if i >= len(s.text) || s.text[i] != ':' {
		return s.fail(i, "want ':' behind a name")
	}
	return s.space(i + 1)
}

// noName is the fault where a member does not begin with one.
const noName = "want a name in quotes"

// name is a member's name, a string at text[start:end], and where its value is.
type name struct {
	start, end int
	holds      int // what the string holds
	value      int
}

// name reads the name at i and the colon behind it. It is not ok if there is a
// fault.
func (s *scanner) name(i int) (n name, ok bool) {
	if i >= len(s.text) || s.text[i] != '"' {
		s.fail(i, noName)
		return n, false
	}
	end, holds := s.str(i)
	if end < 0 {
		return n, false
	}
	value := s.colon(end)
	return name{start: i, end: end, holds: holds, value: value}, value >= 0
}

// end checks that nothing follows the text's value, which ends at i.
func (s *scanner) end(i int) int {
	if i < 0 {
		return -1
	}
	if i = s.space(i); i < len(s.text) {
		return s.fail(i, "unexpected data behind the value")
	}
	return i
}

// valid reads the whole text.
func (s *scanner) valid() bool { return s.end(s.skip(s.space(0), 0)) >= 0 }
