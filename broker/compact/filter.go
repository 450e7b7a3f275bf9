package compact

import "github.com/hapaxmq/hapax/broker/batch"

// Last is the last that is known of a producer.
type Last struct {
	Offset int64 // the base offset of its last batch; batch.None: its epoch has none
	Epoch  int16
}

// Counts are what a filter has seen.
type Counts struct {
	Records    int64 // of those that were read
	Dropped    int64 // of those, markers left out
	Unreadable int64 // batches with records that cannot be read: they stay as they are
}

// Filter takes out of batches what is not kept. It is used for all batches of a
// partition from the first on, in their order, by one goroutine.
type Filter struct {
	Latest    *Latest
	Aborted   Transactions
	Producers map[int64]Last // those that are known
	Now       int64          // Unix ms
	Retention int64          // how long a tombstone is kept, ms: delete.retention.ms
	Counts    Counts

	written map[int64]bool // producers with batches behind their last marker
	decoder batch.Decoder
	encoder batch.Encoder
	kept    []batch.Record
}

// Append appends what is left of a batch to dst, if anything is, and tells whether
// that is all of it.
func (f *Filter) Append(dst, b []byte) (grown []byte, same bool, err error) {
	h, err := batch.ReadHeader(b)
	if err != nil {
		return dst, false, err
	}
	if f.written == nil {
		f.written = make(map[int64]bool)
	}
	switch {
	case h.Attributes.Has(batch.Control):
		return f.marker(dst, b, h)
	case h.Attributes.Has(batch.Transactional):
		f.written[h.ProducerID] = true
	}
	return f.data(dst, b, h)
}

// marker keeps one while there are batches of its transaction, and then until its
// time is over.
func (f *Filter) marker(dst, b []byte, h batch.Header) ([]byte, bool, error) {
	needed := f.written[h.ProducerID]
	delete(f.written, h.ProducerID)
	last, known := f.Producers[h.ProducerID]
	isLast := known && last.Offset == batch.None && last.Epoch == h.ProducerEpoch
	switch {
	case h.Count == 0 && isLast, h.Count > 0 && needed:
		return append(dst, b...), true, nil
	case h.Count == 0:
		return dst, false, nil
	case !h.Attributes.Has(batch.DeleteHorizon):
		f.kept = f.kept[:0]
		for r, err := range f.decoder.Records(b) {
			if err != nil {
				f.Counts.Unreadable++
				return append(dst, b...), true, nil // it stays as it is
			}
			f.kept = append(f.kept, r)
		}
		return f.rewrite(dst, h, true)
	case f.Now < h.BaseTimestamp:
		return append(dst, b...), true, nil
	}
	return f.empty(dst, h, isLast), false, nil
}

// data keeps the records that are the last of their keys.
func (f *Filter) data(dst, b []byte, h batch.Header) ([]byte, bool, error) {
	last, known := f.Producers[h.ProducerID]
	isLast := h.Idempotent() && known && last.Offset == h.BaseOffset
	if h.Count == 0 {
		if isLast {
			dst = append(dst, b...)
		}
		return dst, isLast, nil
	}
	f.kept = f.kept[:0]
	tombstones := false
	if f.Aborted.aborted(&h) {
		f.Counts.Records += int64(h.Count)
	} else {
		expired := h.Attributes.Has(batch.DeleteHorizon) && f.Now >= h.BaseTimestamp
		for r, err := range f.decoder.Records(b) {
			if err != nil {
				f.Counts.Unreadable++
				return append(dst, b...), true, nil // it stays as it is
			}
			f.Counts.Records++
			if r.Key == nil || r.Value == nil && expired || f.Latest.replaced(r.Key, h.BaseOffset+int64(r.OffsetDelta)) {
				continue
			}
			f.kept = append(f.kept, r)
			tombstones = tombstones || r.Value == nil
		}
	}
	dropped := int64(h.Count) - int64(len(f.kept))
	f.Counts.Dropped += dropped
	horizon := tombstones && !h.Attributes.Has(batch.DeleteHorizon)
	switch {
	case len(f.kept) == 0:
		return f.empty(dst, h, isLast), false, nil
	case dropped == 0 && !horizon:
		return append(dst, b...), true, nil
	}
	return f.rewrite(dst, h, horizon)
}

// empty appends a batch's header, if it is to be kept.
func (f *Filter) empty(dst []byte, h batch.Header, kept bool) []byte {
	if !kept {
		return dst
	}
	if h.Attributes.Has(batch.DeleteHorizon) {
		h.Attributes &^= batch.DeleteHorizon
		h.BaseTimestamp = h.MaxTimestamp
	}
	return batch.AppendEmpty(dst, h)
}

// rewrite appends a batch of the kept records, which says, with horizon, until when
// its tombstones stay.
func (f *Filter) rewrite(dst []byte, h batch.Header, horizon bool) ([]byte, bool, error) {
	if horizon {
		shift := h.BaseTimestamp - (f.Now + f.Retention)
		h.Attributes |= batch.DeleteHorizon
		h.BaseTimestamp -= shift
		for i := range f.kept {
			f.kept[i].TimestampDelta += shift
		}
	}
	dst, err := f.encoder.Append(dst, h, f.kept)
	return dst, false, err
}
