package batch

import (
	"bytes"
	"fmt"

	"github.com/hapaxmq/hapax/broker/code"
)

// Recoder compresses batches anew, edits them, and reads their records. The zero value is
// ready. It keeps its buffers, decompressors and compressors, so use it again; it
// must not be used by two goroutines at once.
type Recoder struct {
	Decoder
	encoder Encoder
}

// Append appends the batch b to dst, compressed by c, whatever it was compressed
// by. All that its header says stays, but for codec, length and checksum, and so
// do its records: their bytes are taken over. They are checked as by
// [Decoder.Records], with the same errors. dst is returned as it was if it fails.
func (r *Recoder) Append(dst, b []byte, c Codec) ([]byte, error) {
	body, err := r.Open(b)
	if err != nil {
		return dst, err
	}
	s := body.Scan()
	for s.Next() {
	}
	if s.err != nil {
		return dst, s.err
	}
	body.Attributes = body.Attributes.With(c)
	return r.append(dst, &body.Header, body.records)
}

// Edit is what becomes of a record.
type Edit uint8

const (
	// Keep leaves it as it is.
	Keep Edit = iota
	// Drop leaves it out.
	Drop
	// Replace takes another in its place, at the same offset.
	Replace
)

// Edit appends to dst what is left of a batch of which some records are dropped or
// replaced. Edit is called with the offset delta of each of them, in their order, and
// replace with those that are to be replaced, which it changes. What stays has its
// offset; the header says what it said, but for the number of records and the latest of
// their times. If nothing stays it is as by [AppendEmpty]. Records are compressed as they
// were. dst is returned as it was if it fails.
//
// The body must be what [Decoder.Open] last gave.
func (r *Recoder) Edit(dst []byte, body *Body, edit func(delta int32) Edit, replace func(*Record)) ([]byte, error) {
	e := &r.encoder
	h := body.Header
	h.Count = 0
	newest := int64(None)
	e.reset()
	s := body.Scan()
	from, to := 0, 0 // records that stay and are not in e.records yet
	for s.skim() {
		record := body.records[to : to+s.Size]
		switch edit(s.Record.OffsetDelta) {
		case Keep:
			to += s.Size
		case Drop:
			e.records = append(e.records, body.records[from:to]...)
			to += s.Size
			from = to
			continue
		case Replace:
			e.records = append(e.records, body.records[from:to]...)
			to += s.Size
			from = to
			if _, _, err := s.Record.read(record, ""); err != nil {
				return dst, fmt.Errorf("%w: %w", err, code.InvalidRecord)
			}
			replace(&s.Record)
			e.records, e.scratch = s.Record.append(e.records, e.scratch)
		}
		h.Count++
		newest = max(newest, h.BaseTimestamp+s.Record.TimestampDelta)
	}
	e.records = append(e.records, body.records[from:to]...)
	if s.err != nil {
		return dst, s.err
	}
	if h.Count == 0 {
		return AppendEmpty(dst, h), nil
	}
	if !h.Attributes.Has(AppendTime) {
		h.MaxTimestamp = newest
	}
	return r.append(dst, &h, e.records)
}

// Encode appends a batch of records as [Encoder.Append] does.
func (r *Recoder) Encode(dst []byte, h Header, records []Record) ([]byte, error) {
	return r.encoder.Append(dst, h, records)
}

// append appends the batch of a header and its records, compressed as the header
// says.
func (r *Recoder) append(dst []byte, h *Header, records []byte) ([]byte, error) {
	d := &r.encoder.deflater
	grown, err := d.deflate(h.appendTo(dst), records, h.Attributes.Codec())
	if d.sink.Cap() > spare {
		d.sink = bytes.Buffer{}
	}
	if err != nil {
		return dst, fmt.Errorf("deflate %d bytes: %w", len(records), err)
	}
	if len(grown)-len(dst) > maxBatch {
		return dst, fmt.Errorf("%d bytes: at most %d: %w", len(grown)-len(dst), maxBatch, ErrRecords)
	}
	finish(grown[len(dst):])
	return grown, nil
}
