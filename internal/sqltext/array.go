package sqltext

import "encoding/hex"

// Array writes an array of PostgreSQL as text, which all drivers carry: elements, each
// of about size bytes.
func Array[E any](elements []E, size int, appendTo func([]byte, E) []byte) string {
	dst := make([]byte, 0, 2+len(elements)*(size+1))
	dst = append(dst, '{')
	for i, e := range elements {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendTo(dst, e)
	}
	return string(append(dst, '}'))
}

// AppendBytea appends an element of bytes; nil is NULL.
func AppendBytea(dst, value []byte) []byte {
	if value == nil {
		return append(dst, "NULL"...)
	}
	dst = append(dst, `"\\x`...)
	dst = hex.AppendEncode(dst, value)
	return append(dst, '"')
}
