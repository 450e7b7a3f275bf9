package identity

import (
	"bytes"
	"strconv"
)

// maxPaths bounds the paths of one list.
const maxPaths = 16

// span is a value's place in a text. A value has at least one byte, so the zero
// span is none.
type span struct{ start, end int }

// finder looks for the values at some paths, and checks all else on the way.
type finder struct {
	scanner
	found [maxPaths]span // by the number of the path
}

// all reads the whole text and finds what is at the fields of its top.
func (f *finder) all(top []field) bool {
	return f.end(f.find(f.space(0), 0, top)) >= 0
}

// find reads the value at i, inside of depth others, whose fields are looked for.
func (f *finder) find(i, depth int, fields []field) int {
	if i < len(f.text) && len(fields) > 0 {
		switch f.text[i] {
		case '{':
			return f.findInObject(i, depth, fields)
		case '[':
			return f.findInArray(i, depth, fields)
		}
	}
	return f.skip(i, depth)
}

func (f *finder) findInObject(i, depth int, fields []field) int {
	var seen fieldSet
	i, more := f.open(i, '}', depth)
	for more {
		n, ok := f.name(i)
		if !ok {
			return -1
		}
		if m := f.match(fields, n); m == nil {
			i = f.skip(n.value, depth+1)
		} else if !seen.add(m) {
			return f.refuse(i, "repeated name")
		} else {
			i = f.take(n.value, depth+1, m)
		}
		if i < 0 {
			return -1
		}
		i, more = f.next(i, '}')
	}
	return i
}

func (f *finder) findInArray(i, depth int, fields []field) int {
	i, more := f.open(i, ']', depth)
	for n := 0; more; n++ {
		if m := matchIndex(fields, n); m == nil {
			i = f.skip(i, depth+1)
		} else {
			i = f.take(i, depth+1, m)
		}
		if i < 0 {
			return -1
		}
		i, more = f.next(i, ']')
	}
	return i
}

// take reads the value at i, which is m's, and notes its place if a path ends here.
func (f *finder) take(i, depth int, m *field) int {
	end := f.find(i, depth, m.under)
	if m.path >= 0 && end >= 0 {
		f.found[m.path] = span{i, end}
	}
	return end
}

// absent reports whether nothing was found for path i.
func (f *finder) absent(i int) bool { return f.found[i].end == 0 }

// null reports whether null was found for path i.
func (f *finder) null(i int) bool { return f.text[f.found[i].start] == 'n' }

// value is the text of what was found for path i.
func (f *finder) value(i int) []byte { return f.text[f.found[i].start:f.found[i].end] }

// append appends the canonical form of what was found for path i.
func (f *finder) append(dst []byte, i int) ([]byte, error) {
	value := f.value(i)
	if value[0] == '"' && bytes.IndexByte(value, '\\') < 0 {
		return append(dst, value...), nil
	}
	dst, fault := canonicalise(dst, value, nil)
	if fault.what != "" {
		fault.at += f.found[i].start
		return dst, fault.err()
	}
	return dst, nil
}

// appendList appends what was found for the first n paths as a canonical array,
// with nothing in place of what is absent.
func (f *finder) appendList(dst []byte, n int) (_ []byte, err error) {
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if f.absent(i) {
			continue
		}
		if dst, err = f.append(dst, i); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

// appendText appends what the string found for path i stands for.
func (f *finder) appendText(dst []byte, i int) ([]byte, error) {
	value := f.value(i)
	dst, ok := appendUnescaped(dst, value[1:len(value)-1])
	if !ok {
		return dst, fault{what: "half a surrogate pair", at: f.found[i].start}.err()
	}
	return dst, nil
}

// match returns the field that is called n, if any.
func (s *scanner) match(fields []field, n name) *field {
	inside := s.text[n.start+1 : n.end-1]
	if n.holds&hasEscape != 0 {
		var buf [64]byte
		var ok bool
		if inside, ok = appendUnescaped(buf[:0], inside); !ok {
			return nil
		}
	}
	return matchName(fields, inside)
}

func matchName(fields []field, name []byte) *field {
	for k := range fields {
		if fields[k].name == string(name) {
			return &fields[k]
		}
	}
	return nil
}

// matchIndex returns the field that names the n-th element of an array, if any.
func matchIndex(fields []field, n int) *field {
	var buf [20]byte
	return matchName(fields, strconv.AppendInt(buf[:0], int64(n), 10))
}
