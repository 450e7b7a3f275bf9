package batch

import (
	"cmp"
	"fmt"

	"github.com/hapaxmq/hapax/broker/code"
)

// leastRecord is the size of an uncompressed record with null key and value.
const leastRecord = 7

// Validate checks what a producer sends as one batch: that b is exactly one, as
// it was sent, and that a producer may say all that its header says. The base
// offset and the leader epoch are the broker's to set and may be anything.
//
// The records are not looked at, so that they need not be inflated: [Decoder]
// does. Allocates nothing unless something is wrong.
func Validate(b []byte) (Header, error) {
	if len(b) == 0 {
		return Header{}, fmt.Errorf("no batch: %w", code.InvalidRecord)
	}
	h, err := ReadHeader(b)
	switch {
	case err != nil:
		return Header{}, err
	case h.Size() > len(b):
		return Header{}, fmt.Errorf("batch of %d bytes: only %d are there: %w", h.Size(), len(b), code.CorruptMessage)
	case h.Size() < len(b):
		return Header{}, fmt.Errorf("batch of %d bytes: %d more follow: send one batch a partition: %w", h.Size(), len(b)-h.Size(), code.InvalidRecord)
	case checksum(b) != h.CRC:
		return Header{}, fmt.Errorf("batch does not match its checksum %08x: %w", h.CRC, code.CorruptMessage)
	}
	if err := cmp.Or(h.counts(), h.flags(), h.producer()); err != nil {
		return Header{}, err
	}
	return h, nil
}

func (h *Header) counts() error {
	records := h.Size() - HeaderSize
	switch {
	case h.Count <= 0:
		return fmt.Errorf("batch of %d records: want one or more: %w", h.Count, code.InvalidRecord)
	case h.LastOffsetDelta != h.Count-1:
		return fmt.Errorf("batch of %d records: its last has offset delta %d, want %d: %w", h.Count, h.LastOffsetDelta, h.Count-1, code.InvalidRecord)
	case records == 0:
		return fmt.Errorf("batch of %d records: none is there: %w", h.Count, code.InvalidRecord)
	case h.Attributes.Codec() == Plain && int(h.Count) > records/leastRecord:
		return fmt.Errorf("batch of %d records: they cannot fit into %d bytes: %w", h.Count, records, code.InvalidRecord)
	case h.BaseTimestamp < None || h.MaxTimestamp < None:
		return fmt.Errorf("batch from %d ms to %d ms: want none before 1970: %w", h.BaseTimestamp, h.MaxTimestamp, code.InvalidTimestamp)
	}
	return nil
}

func (h *Header) flags() error {
	switch a := h.Attributes; {
	case a.Codec() > Zstd:
		return fmt.Errorf("batch compressed by %v: want none, gzip, snappy, lz4 or zstd: %w", a.Codec(), code.InvalidRecord)
	case a.Has(AppendTime):
		return fmt.Errorf("batch with an append time: only the broker gives one: %w", code.InvalidTimestamp)
	case a.Has(Control):
		return fmt.Errorf("batch of control records: only the broker writes them: %w", code.InvalidRecord)
	case a.Has(DeleteHorizon):
		return fmt.Errorf("batch with a delete horizon: only the broker gives one: %w", code.InvalidRecord)
	}
	return nil
}

func (h *Header) producer() error {
	switch {
	case h.ProducerID < None:
		return fmt.Errorf("batch of producer %d: want -1 for none, or a producer id: %w", h.ProducerID, code.InvalidRecord)
	case h.Attributes.Has(Transactional) && !h.Idempotent():
		return fmt.Errorf("transactional batch without a producer id: %w", code.InvalidRecord)
	case h.Idempotent() && (h.ProducerEpoch < 0 || h.BaseSequence < 0):
		return fmt.Errorf("batch of producer %d with epoch %d and sequence %d: want neither below 0: %w",
			h.ProducerID, h.ProducerEpoch, h.BaseSequence, code.InvalidRecord)
	}
	return nil
}
