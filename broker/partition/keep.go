package partition

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/hapaxmq/hapax/broker/batch"
)

// The kinds of the log's frames that move batches, and that say what was compacted:
//
//	19 kept     4 partition number · v first offset · v offsets · v length of times · times · 4 length of times · 4 partition number ·
//	            8 the first batch's time · the batches that stand for them from now on, back to back
//	20 cleaned  4 partition number · v the first offset that was not compacted
//
// The times are those at which the batches were appended, Unix ms: of each behind the
// first v what it is later. They are before the first batch: see [ReadTimes].
const (
	FrameKept    = 19
	FrameCleaned = 20
)

// Old is a partition as its old records are looked after.
type Old struct{ *Partition }

// Kept are batches for a range of a partition's offsets: what is there, or what is
// left of it.
type Kept struct {
	From, To int64   // the range, without To: from one extent to another
	First    Extent  // the first extent of the range, as it was found
	Batches  []byte  // may be none
	Times    []int64 // when they were appended, Unix ms; nil: nobody knows
}

// Keep puts batches in the place of what a range of offsets has. On return they are
// durable and are what is read; until then what was there is. It does nothing, and
// says so, if the range's beginning is gone meanwhile. One goroutine moves batches of
// a partition at a time.
func (p Old) Keep(k Kept) (moved bool, err error) {
	run, err := runOf(k.Batches, k.From, k.To)
	if err != nil {
		return false, fmt.Errorf("keep records: %w", err)
	}
	p.log.Begin() // till it is durable: a snapshot between would know the old place alone
	defer p.log.End()
	head := binary.LittleEndian.AppendUint32(nil, p.number)
	head = binary.AppendUvarint(head, uint64(k.From))
	head = binary.AppendUvarint(head, uint64(k.To-k.From))
	head = appendTimes(head, p.number, k.Times)
	p.mu.Lock()
	if p.dropped || !p.index.stands(k.First) {
		p.mu.Unlock()
		return false, nil
	}
	at, err := p.log.Append(FrameKept, head, k.Batches)
	p.mu.Unlock()
	if err == nil {
		err = p.log.Sync(at.End)
	}
	if err != nil {
		return false, err
	}
	run.File, run.At = at.File, at.Offset+int64(len(head))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep(k.From, k.To, run)
	return true, nil
}

// stands tells whether an extent is there still.
func (x *index) stands(e Extent) (ok bool) {
	x.from(e.Last, func(found Extent) bool {
		ok = found.File == e.File && found.At == e.At && found.Length == e.Length
		return false
	})
	return ok
}

// keep takes over where a range of offsets stands now. It must hold mu.
func (p Old) keep(from, to int64, run Extent) {
	p.index.replace(from, to, run)
	trim(p.Partition) // the start may have moved meanwhile
}

// runOf is the extent that batches are, but for its place. They must lie within a
// range of offsets, in their order.
func runOf(b []byte, from, to int64) (run Extent, err error) {
	run = Extent{Base: from, Last: from - 1, MaxTime: batch.None, Length: int32(len(b))}
	for n := 0; len(b) > 0; n++ {
		h, err := batch.ReadHeader(b)
		if err != nil {
			return run, err
		}
		if h.Size() > len(b) || h.BaseOffset <= run.Last || h.BaseOffset >= to || h.LastOffsetDelta < 0 || h.LastOffset() >= to {
			return run, fmt.Errorf("a batch of %d bytes from offset %d to %d, behind %d and before %d", h.Size(), h.BaseOffset, h.LastOffset(), run.Last, to)
		}
		run.Last, run.Run = h.LastOffset(), n > 0
		if h.Count > 0 {
			run.MaxTime = max(run.MaxTime, h.Newest())
		}
		b = b[h.Size():]
	}
	return run, nil
}

// Keep takes over that batches have moved. rest is the payload behind the number, at
// offset at of a file.
func (p Replay) Keep(rest []byte, file uint64, at int64) error {
	r := numbers{b: rest}
	from := r.uvarint()
	to := from + r.uvarint()
	times := r.uvarint()
	if r.bad || to > p.end || times > int64(len(r.b)) || len(r.b)-int(times) < TimesHead {
		return corrupt(p.number, "records are kept for no offsets that it has")
	}
	r.b = r.b[int(times)+TimesHead:]
	run, err := runOf(r.b, from, to)
	if err != nil {
		return corrupt(p.number, err.Error())
	}
	run.File, run.At = file, at+int64(len(rest)-len(r.b))
	Old(p).keep(from, to, run)
	return nil
}

// Cleaned notes that the partition is compacted up to an offset: nothing of the
// transactions that were aborted below it is left.
func (p Old) Cleaned(offset int64) error {
	p.log.Begin()
	defer p.log.End()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dropped || offset <= p.clean {
		return nil
	}
	payload := binary.LittleEndian.AppendUint32(nil, p.number)
	if _, err := p.log.Append(FrameCleaned, binary.AppendUvarint(payload, uint64(offset))); err != nil {
		return err
	}
	p.cleaned(offset)
	return nil
}

// cleaned must hold mu.
func (p Old) cleaned(offset int64) {
	p.clean = offset
	p.aborted = slices.DeleteFunc(p.aborted, func(a Aborted) bool { return a.Last < offset })
}

// Cleaned takes over how far the partition is compacted. rest is the payload behind
// the number.
func (p Replay) Cleaned(rest []byte) error {
	offset, n := binary.Uvarint(rest)
	if n <= 0 || n < len(rest) || offset > uint64(p.end) {
		return corrupt(p.number, "it is compacted up to nowhere")
	}
	Old(p).cleaned(max(int64(offset), p.clean))
	return nil
}
