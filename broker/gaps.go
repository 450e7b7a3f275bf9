package broker

import (
	"slices"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
)

// Records that were left out of batches leave gaps in the offsets. Most clients go on
// behind a batch that they have read; some go on behind its last record, and would be
// given the same batch again, one offset on each time. So a batch that holds no record
// from the offset on is given only if nothing is behind it.

// skip goes past such batches at the beginning of what was found.
func (f *fetching) skip(p *fetchPartition, open *openFiles, r *partition.Reading, most int, first bool) error {
	for len(r.Extents) > 0 {
		over, err := open.over(&r.Extents[0], p.offset)
		if err != nil || !over {
			return err
		}
		if len(r.Extents) > 1 {
			r.Extents = r.Extents[1:]
			continue
		}
		next, err := p.partition.Read(r.Extents[0].Last+1, most, first, f.committed)
		if err != nil || len(next.Extents) == 0 {
			return err
		}
		*r = next
	}
	return nil
}

// pass leaves batches without records out of what is given. If there is nothing else, a
// control record takes its readers past the last of them: librdkafka 2.16 takes it for
// a fault, that of a record too large to fetch, if it is given nothing but batches
// without records for the eleventh time. kafka-go 0.4 takes any control record for a
// message; it knows no version above 10, for which the last batch is given.
func (p *fetchedPartition) pass(version int16) {
	empty := func(e partition.Extent) bool { return !e.Run && e.Length == batch.HeaderSize }
	last := len(p.Extents) - 1
	if last < 0 || slices.ContainsFunc(p.Extents, func(e partition.Extent) bool { return !empty(e) }) {
		p.Extents = slices.DeleteFunc(p.Extents, empty)
		return
	}
	if version > 10 {
		p.Extents, p.past = nil, p.Extents[last].Last+1
	}
}

// mostSplit is the latest version of Fetch for which runs are taken apart that have
// batches without records: kafka-go 0.4, which knows no later one, takes what is behind
// such a batch for its records.
const mostSplit = 10

// split makes extents of their own of the batches without records in runs.
func (o *openFiles) split(extents []partition.Extent) (all []partition.Extent, err error) {
	for _, e := range extents {
		if !e.Run {
			all = append(all, e)
			continue
		}
		file, err := o.file(e.File)
		if err != nil {
			return nil, err
		}
		b, err := appendExtent(nil, file, &e)
		if err != nil {
			return nil, err
		}
		for at, grows := e.At, false; len(b) > 0; {
			h, err := batch.ReadHeader(b)
			if err != nil || h.Size() > len(b) {
				return nil, code.CorruptMessage
			}
			if !grows || h.Count == 0 {
				all = append(all, partition.Extent{File: e.File, At: at, Base: h.BaseOffset, Run: h.Count > 0})
			}
			last := &all[len(all)-1]
			last.Length, last.Last = last.Length+int32(h.Size()), h.LastOffset()
			at, b, grows = at+int64(h.Size()), b[h.Size():], h.Count > 0
		}
	}
	return all, nil
}

// over tells whether an extent holds no record from an offset on. Where it begins
// with one it is read no further than that.
func (o *openFiles) over(e *partition.Extent, offset int64) (bool, error) {
	if !e.Run && (e.Length == batch.HeaderSize || offset <= e.Base) {
		return e.Length == batch.HeaderSize, nil
	}
	file, err := o.file(e.File)
	if err != nil {
		return false, err
	}
	start := *e
	start.Length = batch.HeaderSize
	b, err := appendExtent(nil, file, &start)
	if err != nil {
		return false, err
	}
	h, err := batch.ReadHeader(b)
	if err != nil || h.Count > 0 && (offset <= h.BaseOffset || !e.Run && h.Count > h.LastOffsetDelta) {
		return false, err
	}
	if b, err = appendExtent(nil, file, e); err != nil {
		return false, err
	}
	for len(b) > 0 {
		if h, err = batch.ReadHeader(b); err != nil || h.Size() > len(b) {
			return false, code.CorruptMessage
		}
		if over, err := isOver(b[:h.Size()], &h, offset); err != nil || !over {
			return false, err
		}
		b = b[h.Size():]
	}
	return true, nil
}

// isOver tells whether a batch holds no record from an offset on.
func isOver(b []byte, h *batch.Header, offset int64) (bool, error) {
	switch {
	case h.LastOffset() < offset || h.Count == 0:
		return true, nil
	case offset <= h.BaseOffset || h.Count > h.LastOffsetDelta: // it has no gaps
		return false, nil
	}
	var d batch.Decoder
	for record, err := range d.Records(b) {
		if err != nil {
			return false, err
		}
		if h.BaseOffset+int64(record.OffsetDelta) >= offset {
			return false, nil
		}
	}
	return true, nil
}
