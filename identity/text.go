package identity

import (
	"bytes"
	"cmp"
	"unicode/utf16"
	"unicode/utf8"
)

// noRune is what half a surrogate pair stands for.
const noRune = -1

// decodeEscape reads the valid escape sequence that s begins with, both halves
// of a surrogate pair, and tells its length.
func decodeEscape(s []byte) (r rune, n int) {
	switch c := s[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
	default:
		return rune(c), 2
	}
	r, _ = hex4(s[2:])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(s) > 8 && s[6] == '\\' && s[7] == 'u' {
		low, _ := hex4(s[8:])
		if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
			return r, 12
		}
	}
	return noRune, 6
}

// appendUnescaped appends what the inside of a valid JSON string stands for. It
// is not ok if that is nothing, for half a surrogate pair.
func appendUnescaped(dst, inside []byte) (_ []byte, ok bool) {
	for {
		i := bytes.IndexByte(inside, '\\')
		if i < 0 {
			return append(dst, inside...), true
		}
		dst = append(dst, inside[:i]...)
		r, n := decodeEscape(inside[i:])
		if r == noRune {
			return dst, false
		}
		dst = utf8.AppendRune(dst, r)
		inside = inside[i+n:]
	}
}

// appendEscaped appends r as RFC 8785 writes it inside of a string.
func appendEscaped(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	if r < ' ' {
		return append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&0xf])
	}
	return utf8.AppendRune(dst, r)
}

// compareNames orders the insides of two canonical strings as RFC 8785 sorts
// names: by the UTF-16 units of what they stand for.
func compareNames(a, b []byte) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	if i == len(a) || i == len(b) {
		return cmp.Compare(len(a), len(b))
	}
	if escaping := (i - len(bytes.TrimRight(a[:i], `\`))) % 2; escaping == 1 {
		i-- // the difference is in the letter of an escape sequence
	}
	return cmp.Compare(unitRank(a[i:]), unitRank(b[i:]))
}

// unitRank ranks the character or the byte of one that s begins with. Above
// U+FFFF, characters have a lead byte from 0xf0 and sort, as surrogates, below
// U+E000 to U+FFFF, which have lead bytes 0xee and 0xef.
func unitRank(s []byte) int {
	switch c := s[0]; {
	case c == '\\':
		r, _ := decodeEscape(s)
		return int(r)
	case c == 0xee || c == 0xef:
		return int(c) + 0x100
	default:
		return int(c)
	}
}
