package identity

import (
	"bytes"
	"strconv"
)

// maxPlain is how many digits before the point a number is written out with;
// a larger one has an exponent. ECMAScript, and so RFC 8785, draws the line here.
const maxPlain = 21

// maxPower bounds the exponent of a number with one digit before the point.
const maxPower = 999_999_999

// isCanonical reports whether num, which [scanner.number] found plain, is surely
// in its canonical form.
func isCanonical(num []byte) bool {
	if num[0] == '-' {
		num = num[1:]
		if len(num) == 1 && num[0] == '0' {
			return false
		}
	}
	return len(num) <= maxPlain && !bytes.HasPrefix(num, []byte("0.000000"))
}

// appendNumber appends the canonical form of num, a valid JSON number: the
// shortest that ECMAScript's Number::toString would write, but of the exact
// decimal value. 1, 1.0 and 1e0 become 1; 9007199254740993 stays as it is. It
// is not ok if the exponent is out of bounds.
func appendNumber(dst, num []byte) (_ []byte, ok bool) {
	start := len(dst)
	if num[0] == '-' {
		num = num[1:]
		dst = append(dst, '-')
	}
	first := len(dst)
	mantissa, exponent := num, []byte(nil)
	for e, c := range num {
		if c|0x20 == 'e' {
			mantissa, exponent = num[:e], num[e+1:]
			break
		}
	}
	whole, fraction, _ := bytes.Cut(mantissa, []byte{'.'})
	dst = append(append(dst, whole...), fraction...)

	// The value is 0.DIGITS times ten to the power of point.
	digits := bytes.TrimLeft(dst[first:], "0")
	point := int64(len(whole) - (len(dst) - first - len(digits)))
	digits = bytes.TrimRight(digits, "0")
	if len(digits) == 0 {
		return append(dst[:start], '0'), true
	}
	point += parseExponent(exponent)
	if point-1 < -maxPower || point-1 > maxPower {
		return dst[:start], false
	}
	dst = dst[:first+copy(dst[first:], digits)]
	return appendPoint(dst, first, point), true
}

// appendPoint gives the digits dst[first:], neither led nor trailed by zeros,
// the value 0.DIGITS times ten to the power of point.
func appendPoint(dst []byte, first int, point int64) []byte {
	n := int64(len(dst) - first)
	switch {
	case n <= point && point <= maxPlain:
		return append(dst, "000000000000000000000"[:point-n]...)
	case 0 < point && point <= maxPlain:
		return insert(dst, first+int(point), ".")
	case -6 < point && point <= 0:
		return insert(dst, first, "0.00000"[:2-point])
	}
	if n > 1 {
		dst = insert(dst, first+1, ".")
	}
	dst = append(dst, 'e')
	if point > 0 {
		dst = append(dst, '+')
	}
	return strconv.AppendInt(dst, point-1, 10)
}

// insert puts s into dst at offset at.
func insert(dst []byte, at int, s string) []byte {
	dst = append(dst, s...)
	copy(dst[at+len(s):], dst[at:])
	copy(dst[at:], s)
	return dst
}

// parseExponent reads what stands behind a number's e, which may be nothing. Of
// more than 18 digits it takes 18: far out of bounds, whatever the mantissa.
func parseExponent(exponent []byte) (power int64) {
	negative := false
	if len(exponent) > 0 && (exponent[0] == '-' || exponent[0] == '+') {
		negative = exponent[0] == '-'
		exponent = exponent[1:]
	}
	exponent = bytes.TrimLeft(exponent, "0")
	for _, c := range exponent[:min(len(exponent), 18)] {
		power = 10*power + int64(c-'0')
	}
	if negative {
		power = -power
	}
	return power
}
