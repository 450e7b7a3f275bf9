package uniq

import (
	"bytes"
	"encoding/json"
)

// appendMarked appends a line with a mark that says what it is: a JSON object
// gets a last member "hapax", any other line a tab and the word. The line's end
// stays as it is.
func appendMarked(dst, line []byte, word string) []byte {
	body := bytes.TrimRight(line, "\r\n")
	end := line[len(body):]
	object := bytes.TrimSpace(body)
	if len(object) == 0 || object[0] != '{' || !json.Valid(object) {
		dst = append(append(append(dst, body...), '\t'), word...)
		return append(dst, end...)
	}
	at := bytes.LastIndexByte(body, '}')
	dst = append(dst, body[:at]...)
	if inside := bytes.TrimSpace(object[1 : len(object)-1]); len(inside) > 0 {
		dst = append(dst, ',')
	}
	dst = append(append(append(dst, `"hapax":"`...), word...), '"')
	return append(append(dst, body[at:]...), end...)
}
