package unique

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/batch"
)

// The headers of records that are copies. Of several with one name the last is
// ours.
const (
	// HeaderDuplicateOf names the record that was there first: PARTITION:OFFSET.
	HeaderDuplicateOf = "hapax-duplicate-of"
	// HeaderOrigin is on a record in another topic, and says where it would have
	// been: TOPIC:PARTITION:OFFSET.
	HeaderOrigin = "hapax-origin"
	// HeaderReason is there as well and says why it is not: VERDICT, such as
	// "duplicate" or "conflict".
	HeaderReason = "hapax-reason"
)

// Copy is a record of the batch that was read that is not to stay as it is.
type Copy struct {
	Delta   int32         // its offset delta
	Fate    Fate          // Drop and Route leave it out, Mark gives it a header, others leave it alone
	Verdict hapax.Verdict // why
	First   Place         // the record that was there first
}

// Place is where in a topic a record is.
type Place struct {
	Partition int32
	Offset    int64 // below 0: it is not known any more
}

// append appends the place as headers have it; without an offset that is not known.
func (p Place) append(b []byte) []byte {
	b = append(strconv.AppendInt(b, int64(p.Partition), 10), ':')
	if p.Offset < 0 {
		return b
	}
	return strconv.AppendInt(b, p.Offset, 10)
}

// String is the place as headers have it.
func (p Place) String() string { return string(p.append(nil)) }

// Marked tells whether the last of a record's headers is that of a marked copy, which
// a producer may have made as well, and the place that it names.
func Marked(h batch.Headers) (first string, ok bool) {
	for header := range h.All() {
		if ok = string(header.Key) == HeaderDuplicateOf; ok {
			first = string(header.Value)
		}
	}
	return first, ok
}

// Rewrite returns what is left of the batch that was read, good until the next Read: the
// records that copies, in the order of their deltas, does not name stay as they are. All that
// stays has its offset, and the header says what it said when it was read, base
// offset and leader epoch too, but for the number of records and the latest of their
// times. If nothing stays it is an empty header, [batch.AppendEmpty].
func (r *Reader) Rewrite(copies []Copy) ([]byte, error) {
	edit := func(delta int32) batch.Edit {
		for len(copies) > 0 && copies[0].Delta < delta {
			copies = copies[1:]
		}
		if len(copies) == 0 || copies[0].Delta != delta {
			return batch.Keep
		}
		switch copies[0].Fate {
		case Drop, Route:
			return batch.Drop
		case Mark:
			return batch.Replace
		}
		return batch.Keep
	}
	left, err := r.recoder.Edit(r.left[:0], &r.body, edit, func(record *batch.Record) {
		record.Headers = record.Headers.With(duplicateOf(copies[0].First))
	})
	if err != nil {
		return nil, fmt.Errorf("rewrite batch: %w", err)
	}
	if r.left = left; cap(left) > spareBatch {
		r.left = nil
	}
	return left, nil
}

// Origin is where the batch that was read belongs.
type Origin struct {
	Topic string
	Place // of its first record
}

// Producer is who writes a batch; [batch.None] stands for no id. With one the batch
// is part of its transaction.
type Producer struct {
	ID    int64
	Epoch int16
}

// Copies appends to dst a batch, for another topic, of the records of the batch that
// was read that copies names, in the order of their deltas, with headers that tell
// where they come from. Their keys, values and times are what they were, and they
// are compressed alike. It has no sequence numbers. Copies must not be empty.
func (r *Reader) Copies(dst []byte, copies []Copy, from Origin, by Producer) ([]byte, error) {
	h := r.body.Header
	h.BaseOffset, h.LeaderEpoch, h.LastOffsetDelta = 0, batch.None, 0
	h.Attributes = batch.Attributes(h.Attributes.Codec())
	h.ProducerID, h.ProducerEpoch, h.BaseSequence = by.ID, by.Epoch, batch.None
	if by.ID == batch.None {
		h.ProducerEpoch = batch.None
	} else {
		h.Attributes |= batch.Transactional
	}
	records := make([]batch.Record, 0, len(copies))
	s := r.body.Scan()
	for len(records) < len(copies) && s.Next() {
		c := &copies[len(records)]
		if s.Record.OffsetDelta != c.Delta {
			continue
		}
		record := s.Record
		record.OffsetDelta = int32(len(records))
		record.Headers = record.Headers.With(
			batch.RecordHeader{Key: []byte(HeaderOrigin), Value: from.at(c.Delta)},
			batch.RecordHeader{Key: []byte(HeaderReason), Value: []byte(c.Verdict.String())},
			duplicateOf(c.First),
		)
		records = append(records, record)
	}
	if len(records) < len(copies) || len(copies) == 0 {
		return dst, fmt.Errorf("batch of copies: %d of %d are there: %w", len(records), len(copies), batch.ErrRecords)
	}
	dst, err := r.recoder.Encode(dst, h, records)
	if err != nil {
		return dst, fmt.Errorf("batch of copies: %w", err)
	}
	return dst, nil
}

func duplicateOf(first Place) batch.RecordHeader {
	return batch.RecordHeader{Key: []byte(HeaderDuplicateOf), Value: first.append(nil)}
}

// at is the place of a record of the batch as headers have it.
func (o Origin) at(delta int32) []byte {
	b := slices.Concat([]byte(o.Topic), []byte{':'})
	return Place{o.Partition, o.Offset + int64(delta)}.append(b)
}
