package batch

import (
	"fmt"
	"iter"

	"github.com/hapaxmq/hapax/broker/code"
)

const (
	// MaxInflated is how many bytes a batch's records may have, decompressed,
	// unless a [Decoder] says otherwise.
	MaxInflated = 64 << 20

	// spare is the largest buffer that a decoder keeps from one batch to the
	// next, so that one large batch is not paid for ever after.
	spare = 4 << 20
)

// Decoder reads the records of batches, one batch at a time. The zero value is
// ready. It keeps its buffers and decompressors, so use it again; it must not be
// used by two goroutines at once.
type Decoder struct {
	// Most bounds the decompressed bytes of one batch; 0 is MaxInflated.
	Most int

	inflater inflater
	buffer   []byte
}

// Records yields the records of the batch b in their order, and at last an error
// if there is something wrong with what was not yielded. Their slices are parts
// of b, or, if b is compressed, of a buffer that is used again when the next
// batch is read. b must have been taken as a batch by [Validate] or [Next].
//
// Offset deltas ascend, but need not be without gaps, if records were dropped
// after they had their offsets. All errors are [code.InvalidRecord].
func (d *Decoder) Records(b []byte) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) { d.each(b, yield) }
}

func (d *Decoder) each(b []byte, yield func(Record, error) bool) {
	body, err := d.Open(b)
	if err != nil {
		yield(Record{}, err)
		return
	}
	s := body.Scan()
	for s.Next() {
		if !yield(s.Record, nil) {
			return
		}
	}
	if s.err != nil {
		yield(Record{}, s.err)
	}
}

// inflate returns the records' bytes.
func (d *Decoder) inflate(h *Header, b []byte) ([]byte, error) {
	if h.Size() > len(b) {
		return nil, fmt.Errorf("batch of %d bytes: only %d are there: %w", h.Size(), len(b), code.InvalidRecord)
	}
	b = b[HeaderSize:h.Size()]
	if h.Attributes.Codec() == Plain || h.Count == 0 && len(b) == 0 {
		return b, nil
	}
	most := d.Most
	if most == 0 {
		most = MaxInflated
	}
	if cap(d.buffer) > spare {
		d.buffer = nil
	}
	inflated, err := d.inflater.inflate(d.buffer[:0], b, h.Attributes.Codec(), most)
	if cap(inflated) > cap(d.buffer) {
		d.buffer = inflated
	}
	if err != nil {
		return nil, fmt.Errorf("inflate %d bytes of %v to at most %d: %w: %w", len(b), h.Attributes.Codec(), most, err, code.InvalidRecord)
	}
	return inflated, nil
}
