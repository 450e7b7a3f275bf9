package txn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// An event in bytes:
//
//	version u8 = 1 · kind u8 · time · id · producer · what the kind has
//
//	Held    previous · timeout · state u8 · started · partitions · groups
//	Added   partitions · groups
//	Ended   previous · timeout · commit u8 · cause u8 · marker · markers · groups with offsets
//
// Numbers are varints (zigzag where they can be negative), text and bytes have
// their length before them, a producer is its id and its epoch, a list has its
// count before it. Partitions are steps from the one before (the first from −1),
// never 0. The id is empty for Given alone. Every event has one form only, and
// the frame around it has the checksum.
const formatVersion = 1

// Append adds the event's bytes to b.
func (e *Event) Append(b []byte) []byte {
	b = append(b, formatVersion, byte(e.Kind))
	b = binary.AppendVarint(b, e.Time)
	b = appendText(b, e.ID)
	b = appendProducer(b, e.Producer)
	switch e.Kind {
	case Held:
		b = appendProducer(b, e.Previous)
		b = binary.AppendVarint(b, int64(e.TimeoutMs))
		b = append(b, byte(e.State))
		b = binary.AppendVarint(b, e.Started)
		b = appendAdded(b, e)
	case Added:
		b = appendAdded(b, e)
	case Ended:
		b = appendProducer(b, e.Previous)
		b = binary.AppendVarint(b, int64(e.TimeoutMs))
		b = e.End.append(b)
	}
	return b
}

func appendText[T string | []byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendProducer(b []byte, p Producer) []byte {
	return binary.AppendVarint(binary.AppendVarint(b, p.ID), int64(p.Epoch))
}

func appendAdded(b []byte, e *Event) []byte {
	b = binary.AppendUvarint(b, uint64(len(e.Partitions)))
	last := int64(-1)
	for _, p := range e.Partitions {
		b = binary.AppendUvarint(b, uint64(int64(p)-last))
		last = int64(p)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Groups)))
	for _, g := range e.Groups {
		b = appendText(b, g)
	}
	return b
}

func (end *End) append(b []byte) []byte {
	commit := byte(0)
	if end.Commit {
		commit = 1
	}
	b = append(b, commit, byte(end.Cause))
	b = appendProducer(b, end.Marker)
	b = binary.AppendUvarint(b, uint64(len(end.Markers)))
	last := int64(-1)
	for _, m := range end.Markers {
		b = binary.AppendUvarint(b, uint64(int64(m.Partition)-last))
		b = binary.AppendVarint(b, m.Offset)
		last = int64(m.Partition)
	}
	b = binary.AppendUvarint(b, uint64(len(end.Groups)))
	for _, g := range end.Groups {
		b = appendText(b, g.Group)
		b = appendText(b, g.Offsets)
	}
	return b
}

// Read decodes the event that b is. It refuses what Append would not write. The
// event shares nothing with b.
func Read(b []byte) (*Event, error) {
	r := reader{rest: b}
	if v := r.u8(); r.err == nil && v != formatVersion {
		return nil, fmt.Errorf("read transaction event: it has format %d, and this version of hapax reads %d", v, formatVersion)
	}
	e := &Event{Kind: Kind(r.u8()), Time: r.varint(), ID: string(r.text(MaxName)), Producer: r.producer(), Previous: NoProducer()}
	r.check(e.Kind >= Given && e.Kind <= Forgotten)
	r.check((e.ID == "") == (e.Kind == Given))
	r.check(e.Producer.ID >= 0 && e.Producer.Epoch >= 0 && e.Producer.Epoch <= lastEpoch)
	switch e.Kind {
	case Held:
		e.Previous, e.TimeoutMs = r.producer(), r.i32()
		e.State, e.Started = State(r.u8()), r.varint()
		r.check(e.State == Empty || e.State == Ongoing || e.State == CompleteCommit || e.State == CompleteAbort)
		r.added(e)
		r.check(e.State == Ongoing || len(e.Partitions)+len(e.Groups) == 0)
	case Added:
		r.added(e)
	case Ended:
		e.Previous, e.TimeoutMs = r.producer(), r.i32()
		e.End = r.end()
	}
	r.check(len(r.rest) == 0)
	if r.err != nil {
		return nil, fmt.Errorf("read transaction event: %w", r.err)
	}
	return e, nil
}

var errMalformed = errors.New("malformed")

// reader takes an event apart. After the first fault everything is zero.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) check(ok bool) {
	if !ok && r.err == nil {
		r.err, r.rest = errMalformed, nil
	}
}

func (r *reader) u8() byte {
	r.check(len(r.rest) > 0)
	if r.err != nil {
		return 0
	}
	v := r.rest[0]
	r.rest = r.rest[1:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.check(n > 0 && (n == 1 || r.rest[n-1] != 0)) // in as few bytes as can be
	if r.err != nil {
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (r *reader) i32() int32 {
	v := r.varint()
	r.check(v >= math.MinInt32 && v <= math.MaxInt32)
	return int32(v)
}

func (r *reader) producer() Producer {
	id, epoch := r.varint(), r.varint()
	r.check(id >= 0 && id <= maxProducerID && epoch >= 0 && epoch <= math.MaxInt16 || id == -1 && epoch == -1)
	if r.err != nil {
		return NoProducer()
	}
	return Producer{id, int16(epoch)}
}

// text reads bytes of at most limit. They are the input's own.
func (r *reader) text(limit uint64) []byte {
	n := r.uvarint()
	r.check(n <= uint64(len(r.rest)) && n <= limit)
	if r.err != nil {
		return nil
	}
	v := r.rest[:n]
	r.rest = r.rest[n:]
	return v
}

func (r *reader) name() string {
	s := string(r.text(MaxName))
	r.check(s != "")
	return s
}

// count reads how many follow, each of at least size bytes.
func (r *reader) count(size int) int {
	n := r.uvarint()
	r.check(n <= uint64(len(r.rest)/size))
	if r.err != nil {
		return 0
	}
	return int(n)
}

// partition reads the one after last.
func (r *reader) partition(last int64) uint32 {
	step := r.uvarint()
	r.check(step > 0 && step <= uint64(math.MaxUint32-last))
	if r.err != nil {
		return 0
	}
	return uint32(last + int64(step))
}

func (r *reader) added(e *Event) {
	last := int64(-1)
	for range r.count(1) {
		p := r.partition(last)
		e.Partitions, last = append(e.Partitions, p), int64(p)
	}
	for i := range r.count(2) {
		e.Groups = append(e.Groups, r.name())
		r.check(i == 0 || e.Groups[i-1] < e.Groups[i])
	}
}

func (r *reader) end() *End {
	commit, cause := r.u8(), Cause(r.u8())
	r.check(commit <= 1 && cause <= ByOperator)
	end := &End{Commit: commit == 1, Cause: cause, Marker: r.producer()}
	r.check(end.Marker.ID >= 0 && (!end.Commit || cause == ByClient))
	last := int64(-1)
	for range r.count(2) {
		p := r.partition(last)
		end.Markers, last = append(end.Markers, Marker{Partition: p, Offset: r.varint()}), int64(p)
	}
	for i := range r.count(3) {
		g := GroupOffsets{Group: r.name()}
		if offsets := r.text(math.MaxUint32); len(offsets) > 0 {
			g.Offsets = append([]byte(nil), offsets...)
		}
		end.Groups = append(end.Groups, g)
		r.check(i == 0 || end.Groups[i-1].Group < g.Group)
	}
	return end
}
