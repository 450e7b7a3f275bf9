package producer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A snapshot is
//
//	version (one byte, 1)
//	number of producers without an open transaction, and these, longest silent first
//	number of producers with one, and these, by its first offset
//
// A producer is
//
//	id · epoch · coordinator epoch · time of its last write
//	first offset of its transaction, if it has one
//	number of batches
//	if that is 0: next sequence number; else: first sequence number
//	for each batch: records, offset, time
//
// All are varints, zigzag but for numbers of things, first offsets and first
// sequence numbers. Offset and time of a batch are those less those of the batch
// before it.
const version = 1

var (
	errVersion = errors.New("a newer version wrote it")
	errShort   = errors.New("it is cut off")
	errRange   = errors.New("a number is out of range")
	errLong    = errors.New("bytes follow it")
	errTwice   = errors.New("a producer is in it twice")
	errOrder   = errors.New("transactions are not by their first offsets")
)

// AppendTo appends a snapshot of all that is known to b. Positions are not in
// it: whoever can read it has all of the log before it.
func (t *Table) AppendTo(b []byte) []byte {
	b = append(b, version)
	b = binary.AppendUvarint(b, uint64(len(t.known)-len(t.open)))
	for p := t.idle.front; p != nil; p = p.newer {
		b = p.appendTo(b)
	}
	b = binary.AppendUvarint(b, uint64(len(t.open)))
	for _, p := range t.open {
		b = p.appendTo(b)
	}
	return b
}

func (p *producer) appendTo(b []byte) []byte {
	b = binary.AppendVarint(b, p.id)
	b = binary.AppendVarint(b, int64(p.epoch))
	b = binary.AppendVarint(b, int64(p.coordinatorEpoch))
	b = binary.AppendVarint(b, p.time)
	if p.first != None {
		b = binary.AppendUvarint(b, uint64(p.first))
	}
	b = append(b, byte(p.count))
	if p.count == 0 {
		return binary.AppendVarint(b, int64(p.next))
	}
	b = binary.AppendUvarint(b, uint64(p.batches[0].first))
	var before Place
	for _, a := range p.batches[:p.count] {
		b = binary.AppendUvarint(b, uint64(Advance(a.last, 1)-a.first)&math.MaxInt32)
		b = binary.AppendVarint(b, a.place.Offset-before.Offset)
		b = binary.AppendVarint(b, a.place.Time-before.Time)
		before = a.place
	}
	return b
}

// Read reads a snapshot, which is all of b, into a new table. If it has more
// producers than the rules allow, those that have been silent longest are evicted.
func Read(rules Rules, b []byte) (*Table, error) {
	t := New(rules)
	r := reader{b: b}
	if r.byte() != version && r.err == nil {
		r.err = errVersion
	}
	t.read(&r, false)
	t.read(&r, true)
	if len(r.b) > 0 && r.err == nil {
		r.err = errLong
	}
	if r.err != nil {
		return nil, fmt.Errorf("read snapshot of producers: %w", r.err)
	}
	now := int64(math.MinInt64)
	for p := range t.All() {
		now = max(now, p.LastTime)
	}
	t.shrink(rules.Most, now)
	return t, nil
}

// read reads producers, all with or all without an open transaction.
func (t *Table) read(r *reader, open bool) {
	for n := r.uvarint(math.MaxInt64); n > 0 && r.err == nil; n-- {
		p := r.producer(open)
		switch {
		case r.err != nil:
			return
		case t.known[p.id] != nil:
			r.err = errTwice
			return
		case !open:
			t.idle.push(p)
		case len(t.open) > 0 && t.open[len(t.open)-1].first >= p.first:
			r.err = errOrder
			return
		default:
			t.open = append(t.open, p)
		}
		t.known[p.id] = p
	}
}

// reader reads numbers. After the first error it reads zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	r.b = nil
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail(errShort)
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

// uvarint reads a number from 0 to most.
func (r *reader) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	switch {
	case n == 0:
		r.fail(errShort)
		return 0
	case n < 0 || v > most:
		r.fail(errRange)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// varint reads a number from least to most.
func (r *reader) varint(least, most int64) int64 {
	v, n := binary.Varint(r.b)
	switch {
	case n == 0:
		r.fail(errShort)
		return 0
	case n < 0 || v < least || v > most:
		r.fail(errRange)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) producer(open bool) *producer {
	p := &producer{
		id:               r.varint(math.MinInt64, math.MaxInt64),
		epoch:            int16(r.varint(math.MinInt16, math.MaxInt16)),
		coordinatorEpoch: int32(r.varint(math.MinInt32, math.MaxInt32)),
		time:             r.varint(math.MinInt64, math.MaxInt64),
		first:            None,
	}
	if open {
		p.first = int64(r.uvarint(math.MaxInt64))
	}
	count := int(r.byte())
	switch {
	case count > Remembered:
		r.fail(errRange)
	case count == 0:
		p.next = int32(r.varint(None, math.MaxInt32))
	default:
		p.next = int32(r.uvarint(math.MaxInt32))
	}
	var at Place
	for range count {
		b := Batch{First: p.next, Count: int32(r.uvarint(math.MaxInt32))}
		at.Offset += r.varint(math.MinInt64, math.MaxInt64)
		at.Time += r.varint(math.MinInt64, math.MaxInt64)
		if b.Count == 0 || at.Offset < 0 {
			r.fail(errRange)
		}
		if r.err != nil {
			return p
		}
		p.push(appended{b.First, b.last(), at})
	}
	return p
}
