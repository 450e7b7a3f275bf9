package uniq

import (
	"bytes"
	"encoding/json"
)

// appendMarked appends a line with a mark that says what it is: a JSON object
// gets a last member "hapax", or if it has one that says something else now, any
// other line a tab and the word. The line's end stays as it is.
func appendMarked(dst, line []byte, word string) []byte {
	body := bytes.TrimRight(line, "\r\n")
	end := line[len(body):]
	object := bytes.TrimSpace(body)
	if len(object) == 0 || object[0] != '{' || !json.Valid(object) {
		dst = append(append(append(dst, body...), '\t'), word...)
		return append(dst, end...)
	}
	if values := marksOf(body); len(values) > 0 {
		from := 0
		for _, v := range values {
			dst = append(append(dst, body[from:v.from]...), '"')
			dst = append(append(dst, word...), '"')
			from = v.to
		}
		return append(append(dst, body[from:]...), end...)
	}
	at := bytes.LastIndexByte(body, '}')
	dst = append(dst, body[:at]...)
	if inside := bytes.TrimSpace(object[1 : len(object)-1]); len(inside) > 0 {
		dst = append(dst, ',')
	}
	dst = append(append(append(dst, `"hapax":"`...), word...), '"')
	return append(append(dst, body[at:]...), end...)
}

type span struct{ from, to int }

// marksOf finds the values of the members "hapax" of a valid JSON object.
func marksOf(object []byte) (values []span) {
	if !bytes.Contains(object, []byte("hapax")) && !bytes.Contains(object, []byte(`\u`)) {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(object))
	_, err := d.Token() // {
	for err == nil && d.More() {
		var name json.Token
		var value json.RawMessage
		if name, err = d.Token(); err == nil {
			err = d.Decode(&value)
		}
		if to := int(d.InputOffset()); err == nil && name == "hapax" {
			values = append(values, span{to - len(value), to})
		}
	}
	return values
}
