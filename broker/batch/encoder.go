package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrRecords says that records cannot be a batch.
var ErrRecords = errors.New("records are no batch")

// Encoder writes batches. The zero value is ready. It keeps its buffers and
// compressors, so use it again; it must not be used by two goroutines at once.
type Encoder struct {
	deflater deflater
	records  []byte
	scratch  []byte
}

// Append appends a batch of records to dst, compressed as h's attributes say.
// Of h it takes all but Length, CRC and Count, which follow from the records, and:
//   - LastOffsetDelta is raised to that of the last record, but never lowered, so
//     that a batch of which records were dropped keeps its offsets;
//   - MaxTimestamp becomes the latest of the records' times, unless they have an
//     append time or there are none.
//
// It fails with [ErrRecords] if offset deltas do not ascend from 0, or if the
// batch would be larger than a length can say.
func (e *Encoder) Append(dst []byte, h Header, records []Record) ([]byte, error) {
	h.Count = int32(len(records))
	e.reset()
	last, newest := int32(-1), int64(None)
	for i := range records {
		r := &records[i]
		if r.OffsetDelta <= last {
			return dst, fmt.Errorf("record %d has offset delta %d, after %d: %w", i+1, r.OffsetDelta, last, ErrRecords)
		}
		last, newest = r.OffsetDelta, max(newest, h.BaseTimestamp+r.TimestampDelta)
		e.records, e.scratch = r.append(e.records, e.scratch)
	}
	h.LastOffsetDelta = max(h.LastOffsetDelta, last)
	if len(records) > 0 && !h.Attributes.Has(AppendTime) {
		h.MaxTimestamp = newest
	}
	start := len(dst)
	grown, err := e.deflater.deflate(h.appendTo(dst), e.records, h.Attributes.Codec())
	if err != nil {
		return dst, fmt.Errorf("deflate %d records: %w", len(records), err)
	}
	if len(grown)-start > maxBatch {
		return dst, fmt.Errorf("%d bytes: at most %d: %w", len(grown)-start, maxBatch, ErrRecords)
	}
	finish(grown[start:])
	return grown, nil
}

// reset lets go of the last batch, and of what it took if that was much.
func (e *Encoder) reset() {
	if cap(e.records) > spare {
		e.records = nil
	}
	if cap(e.scratch) > spare {
		e.scratch = nil
	}
	e.records = e.records[:0]
}

// AppendEmpty appends what is left of a batch when none of its records is kept:
// its header, with its offsets, its producer and its sequence numbers. So a
// producer's last sequence outlives its records.
func AppendEmpty(dst []byte, h Header) []byte {
	h.Count = 0
	h.Attributes = h.Attributes.With(Plain)
	start := len(dst)
	dst = h.appendTo(dst)
	finish(dst[start:])
	return dst
}

// Marker is the control batch that ends a transaction in one partition (KIP-98).
type Marker struct {
	Offset           int64
	LeaderEpoch      int32
	Time             int64 // Unix ms
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32
	Commit           bool // else abort
}

// The record of a marker: a key of version and type, a value of version and
// coordinator epoch.
const (
	markerKey   = 4
	markerValue = 6
	typeAbort   = 0
	typeCommit  = 1
)

// MarkerSize is that of the batch that a marker is, in bytes.
const MarkerSize = 78

// AppendMarker appends the batch that m is: MarkerSize bytes.
func AppendMarker(dst []byte, m Marker) []byte {
	var key [markerKey]byte
	var value [markerValue]byte
	if m.Commit {
		binary.BigEndian.PutUint16(key[2:], typeCommit)
	}
	binary.BigEndian.PutUint32(value[2:], uint32(m.CoordinatorEpoch))
	h := Header{
		BaseOffset:    m.Offset,
		LeaderEpoch:   m.LeaderEpoch,
		Attributes:    Transactional | Control,
		BaseTimestamp: m.Time,
		MaxTimestamp:  m.Time,
		ProducerID:    m.ProducerID,
		ProducerEpoch: m.ProducerEpoch,
		BaseSequence:  None,
		Count:         1,
	}
	start := len(dst)
	r := Record{Key: key[:], Value: value[:]}
	dst, _ = r.append(h.appendTo(dst), nil)
	finish(dst[start:])
	return dst
}

// typePassed is that of a control record which says nothing: clients pass over types
// that they do not know.
const typePassed = 0x7fff

// AppendPassed appends a control batch that only takes its readers past an offset:
// MarkerSize bytes.
func AppendPassed(dst []byte, offset int64, epoch int32) []byte {
	var key [markerKey]byte
	var value [markerValue]byte
	binary.BigEndian.PutUint16(key[2:], typePassed)
	h := Header{
		BaseOffset: offset, LeaderEpoch: epoch, Attributes: Control,
		ProducerID: None, ProducerEpoch: None, BaseSequence: None, Count: 1,
	}
	start := len(dst)
	r := Record{Key: key[:], Value: value[:]}
	dst, _ = r.append(h.appendTo(dst), nil)
	finish(dst[start:])
	return dst
}

// ReadMarker reads the batch b as a marker.
func ReadMarker(b []byte) (Marker, error) {
	h, err := ReadHeader(b)
	if err != nil {
		return Marker{}, fmt.Errorf("read marker: %w", err)
	}
	if !h.Attributes.Has(Control|Transactional) || h.Attributes.Codec() != Plain || h.Count != 1 || h.Size() > len(b) {
		return Marker{}, fmt.Errorf("read marker: attributes %#x with %d records: %w", uint16(h.Attributes), h.Count, ErrRecords)
	}
	var r Record
	size, _, err := r.read(b[HeaderSize:h.Size()], "")
	if err != nil {
		return Marker{}, fmt.Errorf("read marker: %w: %w", err, ErrRecords)
	}
	if HeaderSize+size < h.Size() || len(r.Key) < markerKey || len(r.Value) < markerValue {
		return Marker{}, fmt.Errorf("read marker: key of %d and value of %d bytes: %w", len(r.Key), len(r.Value), ErrRecords)
	}
	kind := binary.BigEndian.Uint16(r.Key[2:])
	if kind != typeAbort && kind != typeCommit {
		return Marker{}, fmt.Errorf("read marker: control record of type %d: %w", kind, ErrRecords)
	}
	return Marker{
		Offset:           h.BaseOffset,
		LeaderEpoch:      h.LeaderEpoch,
		Time:             h.BaseTimestamp,
		ProducerID:       h.ProducerID,
		ProducerEpoch:    h.ProducerEpoch,
		CoordinatorEpoch: int32(binary.BigEndian.Uint32(r.Value[2:])),
		Commit:           kind == typeCommit,
	}, nil
}
