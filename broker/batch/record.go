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
		c := cursor{b: h.raw}
		for range h.count {
			if !yield(RecordHeader{c.bytes(), c.bytes()}) {
				return
			}
		}
	}
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

// cursor reads fields. After the first error it reads zeros.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) fail(err error) {
	c.b = nil
	if c.err == nil {
		c.err = err
	}
}

func (c *cursor) varint() int64 {
	if len(c.b) > 0 && c.b[0] < 0x80 {
		u := c.b[0]
		c.b = c.b[1:]
		return int64(u>>1) ^ -int64(u&1)
	}
	v, n := binary.Varint(c.b)
	switch {
	case n == 0:
		c.fail(errShort)
		return 0
	case n < 0:
		c.fail(errRange)
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) varint32() int32 {
	v := c.varint()
	if v != int64(int32(v)) {
		c.fail(errRange)
		return 0
	}
	return int32(v)
}

// take cuts off n bytes.
func (c *cursor) take(n int32) []byte {
	if n < 0 || int(n) > len(c.b) {
		c.fail(errShort)
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

// bytes reads a length and so many bytes: nil for -1.
func (c *cursor) bytes() []byte {
	n := c.varint32()
	if n == None {
		return nil
	}
	return c.take(n)
}

// record reads a record into r.
func (c *cursor) record(r *Record) error {
	in := cursor{b: c.take(c.varint32())}
	if c.err != nil {
		return c.err
	}
	in.take(1) // attributes: none are in use
	r.TimestampDelta = in.varint()
	r.OffsetDelta = in.varint32()
	r.Key = in.bytes()
	r.Value = in.bytes()
	r.Headers.count = int(in.varint32())
	r.Headers.raw = in.b
	if r.Headers.count < 0 {
		in.fail(errNegative)
	}
	for range r.Headers.count {
		if key := in.bytes(); key == nil {
			in.fail(errUnnamed)
		}
		if in.bytes(); in.err != nil {
			return in.err
		}
	}
	if len(in.b) > 0 {
		in.fail(errLong)
	}
	return in.err
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
