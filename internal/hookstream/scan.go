package hookstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// token is a string or a number of a body, with the name of the field it
// stands in. Its bytes are body[start:end], a string's without the quotes.
type token struct {
	field      string
	start, end int
	number     bool
}

// scan lists the string and number values of a body without white space, and
// where its top-level fields start and end.
func scan(body []byte) (values []token, fields []extent, err error) {
	type level struct {
		object bool
		name   string // of the field whose value comes next; empty if a name comes next
		named  bool
	}
	var (
		d     = json.NewDecoder(bytes.NewReader(body))
		stack []level
		last  int // end of the token before
		from  int // start of the current top-level field
	)
	d.UseNumber()
	if len(body) == 0 || body[0] != '{' {
		return nil, nil, errors.New("scan payload: want an object")
	}
	for {
		t, err := d.Token()
		if err != nil {
			return nil, nil, fmt.Errorf("scan payload: %w", err)
		}
		end := int(d.InputOffset())
		start := last + len(body[last:end]) - len(bytes.TrimLeft(body[last:end], ",:"))
		last = end
		if delim, ok := t.(json.Delim); ok && (delim == '{' || delim == '[') {
			stack = append(stack, level{object: delim == '{'})
			continue
		}
		top := &stack[len(stack)-1]
		switch t := t.(type) {
		case json.Delim:
			stack = stack[:len(stack)-1]
			if len(stack) == 0 {
				return values, fields, nil
			}
			top = &stack[len(stack)-1]
		case string:
			if top.object && !top.named {
				top.name, top.named = t, true
				if len(stack) == 1 {
					from = start
				}
				continue
			}
			values = append(values, token{field: top.name, start: start + 1, end: end - 1})
		case json.Number:
			values = append(values, token{field: top.name, start: start, end: end, number: true})
		}
		top.named = false
		if len(stack) == 1 {
			fields = append(fields, extent{from, end})
		}
	}
}

// extent is body[start:end].
type extent struct{ start, end int }
