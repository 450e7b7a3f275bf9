package batch

import (
	"encoding/binary"
	"errors"
	"iter"
	"math"
)

// Record is one record of a batch. Its time and offset are relative to those of
// the batch.
type Record struct {
	OffsetDelta    int32
	TimestampDelta int64  // ms
	Key, Value     []byte // nil if null
	Headers        Headers
}

// RecordHeader is a name and a value that travel with a record.
type RecordHeader struct {
	Key   []byte
	Value []byte // nil if null
}

// Headers are a record's headers as they are in it. The zero value is none.
type Headers struct {
	raw   []byte // whole headers, checked
	count int
}

// MakeHeaders puts headers into the form that they have in a record.
func MakeHeaders(list ...RecordHeader) Headers {
	var b []byte
	for _, h := range list {
		b = binary.AppendVarint(b, int64(len(h.Key)))
		b = append(b, h.Key...)
		b = appendBytes(b, h.Value)
	}
	return Headers{b, len(list)}
}

// Len is the number of headers.
func (h Headers) Len() int { return h.count }

// All yields the headers in their order. A name may come more than once. The
// slices are parts of the record's.
func (h Headers) All() iter.Seq[RecordHeader] {
	return func(yield func(RecordHeader) bool) {
		var header RecordHeader
		i := 0
		for range h.count {
			header.Key, i = field(h.raw, i)
			header.Value, i = field(h.raw, i)
			if !yield(header) {
				return
			}
		}
	}
}

// First returns the value of the first header with the name. It allocates nothing.
func (h Headers) First(name string) (value []byte, ok bool) {
	i := 0
	for range h.count {
		var key []byte
		key, i = field(h.raw, i)
		value, i = field(h.raw, i)
		if string(key) == name {
			return value, true
		}
	}
	return nil, false
}

// With returns the headers with some more behind them. The slices are copied.
func (h Headers) With(list ...RecordHeader) Headers {
	more := MakeHeaders(list...)
	raw := make([]byte, 0, len(h.raw)+len(more.raw))
	return Headers{append(append(raw, h.raw...), more.raw...), h.count + more.count}
}

// Last returns the value of the last header with the name, as Kafka's clients do
// when they are asked for one.
func (h Headers) Last(name string) (value []byte, ok bool) {
	for header := range h.All() {
		if string(header.Key) == name {
			value, ok = header.Value, true
		}
	}
	return value, ok
}

var (
	errShort    = errors.New("a record is cut off")
	errRange    = errors.New("a record has a number out of range")
	errLong     = errors.New("a record is longer than its fields")
	errUnnamed  = errors.New("a header has no name")
	errNegative = errors.New("a record has a negative number of headers")
)

// Offsets into a record are below 0 once something was wrong, and then say what.
const (
	atShort = -1 - iota
	atRange
)

// wrong is the error that an offset below 0 stands for.
func wrong(at int) error {
	if at == atRange {
		return errRange
	}
	return errShort
}

// varint reads the number at i, and returns the offset behind it.
func varint(b []byte, i int) (v int64, next int) {
	var u uint64
	switch {
	case uint(i) < uint(len(b)) && b[i] < 0x80:
		u, i = uint64(b[i]), i+1
	case i >= 0 && i+1 < len(b) && b[i+1] < 0x80:
		u, i = uint64(b[i]&0x7f)|uint64(b[i+1])<<7, i+2
	default:
		return longVarint(b, i)
	}
	return int64(u>>1) ^ -int64(u&1), i
}

func longVarint(b []byte, i int) (v int64, next int) {
	if i < 0 {
		return 0, i
	}
	v, n := binary.Varint(b[min(i, len(b)):])
	switch {
	case n == 0:
		return 0, atShort
	case n < 0:
		return 0, atRange
	}
	return v, i + n
}

func varint32(b []byte, i int) (v int32, next int) {
	long, i := varint(b, i)
	if long != int64(int32(long)) {
		return 0, atRange
	}
	return int32(long), i
}

// field reads the length at i and so many bytes: nil for -1. Lengths of one byte,
// which most are, cost no call.
func field(b []byte, i int) (bytes []byte, next int) {
	var n int
	if uint(i) < uint(len(b)) && b[i] < 0x80 {
		n, i = int(b[i]>>1)^-int(b[i]&1), i+1
	} else {
		var long int32
		if long, i = varint32(b, i); i < 0 {
			return nil, i
		}
		n = int(long)
	}
	end := i + n
	switch {
	case n == None:
		return nil, i
	case n < 0 || end > len(b):
		return nil, atShort
	}
	return b[i:end:end], end
}

// readHead reads time and offset of the record that b begins with, and returns its bytes
// and the offset behind what was read: below 0 if that is wrong.
func (r *Record) readHead(b []byte) (all []byte, i int) {
	length, i := varint32(b, 0)
	switch {
	case i < 0:
		return nil, i
	case length < 0 || int(length) > len(b)-i:
		return nil, atShort
	}
	b = b[:i+int(length)]
	i++ // attributes: none are in use
	r.TimestampDelta, i = varint(b, i)
	r.OffsetDelta, i = varint32(b, i)
	return b, i
}

// read reads the record that b begins with, and returns its size, and the value of
// its first header with a name, if one is wanted.
func (r *Record) read(b []byte, wanted string) (size int, header []byte, err error) {
	b, i := r.readHead(b)
	r.Key, i = field(b, i)
	r.Value, i = field(b, i)
	count, i := varint32(b, i)
	switch {
	case i < 0:
		return 0, nil, wrong(i)
	case count < 0:
		return 0, nil, errNegative
	}
	r.Headers = Headers{b[i:], int(count)}
	seek := wanted != ""
	for range count {
		var name, value []byte
		if name, i = field(b, i); i >= 0 && name == nil {
			return 0, nil, errUnnamed
		}
		if value, i = field(b, i); i < 0 {
			return 0, nil, wrong(i)
		}
		if seek && string(name) == wanted {
			header, seek = value, false
		}
	}
	if i < len(b) {
		return 0, nil, errLong
	}
	return len(b), header, nil
}

// short reads a number of one or two bytes at i, and returns the offset behind it: far
// beyond b if there is none, and so are those of all that is read from there.
func short(b []byte, i int) (v, next int) {
	if i+1 < len(b) {
		u := int(b[i])
		if i++; u >= 0x80 {
			u, i = u&0x7f|int(b[i])<<7, i+1
		}
		if u < 1<<14 {
			return u>>1 ^ -(u & 1), i
		}
	}
	return 0, beyond
}

// beyond is more than an offset can be.
const beyond = math.MaxInt32

// readShort is read of a record whose numbers are all of one or two bytes, as those of
// most are, at half its price. It is not ok for others, nor where something is wrong.
func (r *Record) readShort(b []byte, wanted string) (size int, header []byte, ok bool) {
	length, i := short(b, 0)
	end := i + length
	if length < 0 || end > len(b) {
		return 0, nil, false
	}
	r.Key, r.Value = nil, nil
	time, i := short(b, i+1) // behind the attributes: none are in use
	offset, i := short(b, i)
	n, i := short(b, i)
	if n >= 0 && n <= end-i {
		r.Key, i = b[i:i+n:i+n], i+n
	} else if n != None {
		return 0, nil, false
	}
	if n, i = short(b, i); n >= 0 && n <= end-i {
		r.Value, i = b[i:i+n:i+n], i+n
	} else if n != None {
		return 0, nil, false
	}
	count, i := short(b, i)
	if i > end || count < 0 {
		return 0, nil, false
	}
	r.TimestampDelta, r.OffsetDelta = int64(time), int32(offset)
	r.Headers = Headers{b[i:end:end], count}
	seek := wanted != ""
	for range count {
		var name []byte
		if n, i = short(b, i); n < 0 || n > end-i {
			return 0, nil, false
		}
		name, i = b[i:i+n], i+n
		switch n, i = short(b, i); {
		case n >= 0 && n <= end-i:
			if seek && string(name) == wanted {
				header, seek = b[i:i+n:i+n], false
			}
			i += n
		case n != None:
			return 0, nil, false
		case seek && string(name) == wanted:
			seek = false
		}
	}
	return end, header, i == end
}

func appendBytes(b, field []byte) []byte {
	if field == nil {
		return binary.AppendVarint(b, None)
	}
	b = binary.AppendVarint(b, int64(len(field)))
	return append(b, field...)
}

// append appends the record; scratch is used and returned.
func (r *Record) append(b, scratch []byte) (grown, scratchGrown []byte) {
	s := scratch[:0]
	s = append(s, 0) // attributes
	s = binary.AppendVarint(s, r.TimestampDelta)
	s = binary.AppendVarint(s, int64(r.OffsetDelta))
	s = appendBytes(s, r.Key)
	s = appendBytes(s, r.Value)
	s = binary.AppendVarint(s, int64(r.Headers.count))
	s = append(s, r.Headers.raw...)
	b = binary.AppendVarint(b, int64(len(s)))
	return append(b, s...), s
}

// maxBatch is the largest batch whose length can be said.
const maxBatch = math.MaxInt32 - prefixSize
