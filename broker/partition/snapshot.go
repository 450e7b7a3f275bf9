package partition

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/producer"
	"github.com/hapaxmq/hapax/internal/wal"
)

// The frames of a snapshot, one of the first kind for each partition and as many of
// the others as it takes. Numbers are little endian; v is a varint as in package
// encoding/binary.
//
//	4 partition  4 number · v start · v end · v the first offset that was not compacted · its producers, as package producer has them
//	5 extents    4 number · v file · v base · extents × (v offsets − 1 · v time − the last one's · v position − the last one's
//	             end · v twice the length, and 1 if it is a run)
//	8 aborted    4 number · aborted transactions × (v producer · v marker's offset − the last one's · v that − the first offset ·
//	             v that + 1 − the offset that no later one begins below)
const (
	FramePartition = 4
	FrameExtents   = 5
	FrameAborted   = 8
)

// maxExtents is how many extents stand in one frame: some 64 KiB.
const maxExtents = 1 << 13

// Snapshot adds what is known of the partition, but for the records. Nobody may be
// appending.
func (p *Partition) Snapshot(add wal.Add) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := binary.LittleEndian.AppendUint32(nil, p.number)
	b = binary.AppendUvarint(b, uint64(p.start))
	b = binary.AppendUvarint(b, uint64(p.end))
	b = binary.AppendUvarint(b, uint64(p.clean))
	if err := add(FramePartition, p.producers.AppendTo(b)); err != nil {
		return err
	}
	w := extentsWriter{number: p.number, add: add}
	p.index.from(0, w.put)
	if err := w.flush(); err != nil {
		return err
	}
	return p.aborted.snapshot(p.number, add)
}

// extentsWriter writes extents, those of one file together.
type extentsWriter struct {
	number uint32
	add    wal.Add
	b      []byte
	n      int
	last   Extent
	err    error
}

func (w *extentsWriter) put(e Extent) bool {
	if w.n == maxExtents || w.n > 0 && e.File != w.last.File {
		if w.err = w.flush(); w.err != nil {
			return false
		}
	}
	if w.n == 0 {
		w.b = binary.LittleEndian.AppendUint32(w.b[:0], w.number)
		w.b = binary.AppendUvarint(w.b, e.File)
		w.b = binary.AppendUvarint(w.b, uint64(e.Base))
		w.last = Extent{File: e.File, Last: e.Base - 1}
	}
	length := uint64(e.Length) << 1
	if e.Run {
		length |= 1
	}
	w.b = binary.AppendUvarint(w.b, uint64(e.Last-w.last.Last-1))
	w.b = binary.AppendVarint(w.b, e.MaxTime-w.last.MaxTime)
	w.b = binary.AppendVarint(w.b, e.At-w.last.At-int64(w.last.Length))
	w.b = binary.AppendUvarint(w.b, length)
	w.last = e
	w.n++
	return true
}

func (w *extentsWriter) flush() error {
	if w.err != nil || w.n == 0 {
		return w.err
	}
	w.n = 0
	return w.add(FrameExtents, w.b)
}

// NumberOf is the partition that a frame is about, and the rest of its payload.
func NumberOf(payload []byte) (number uint32, rest []byte, err error) {
	if len(payload) < 4 {
		return 0, nil, fmt.Errorf("%w: a frame of %d bytes names no partition", hapax.ErrCorrupt, len(payload))
	}
	return binary.LittleEndian.Uint32(payload), payload[4:], nil
}

// Replay is a partition that takes over what the log holds, before it is used.
type Replay struct{ *Partition }

// Restore takes over what a snapshot says, but for the extents. rest is the
// payload behind the number.
func (p Replay) Restore(rest []byte) error {
	r := numbers{b: rest}
	start, end, clean := r.uvarint(), r.uvarint(), r.uvarint()
	if r.bad || start > end || clean > end {
		return corrupt(p.number, "its offsets are none")
	}
	table, err := producer.Read(p.rules, r.b)
	if err != nil {
		return corrupt(p.number, err.Error())
	}
	p.start, p.end, p.high, p.clean, p.producers = start, end, end, clean, table
	return nil
}

func corrupt(number uint32, what string) error {
	return fmt.Errorf("%w: partition %d: %s", hapax.ErrCorrupt, number, what)
}

// RestoreExtents takes over some extents that a snapshot has.
func (p Replay) RestoreExtents(rest []byte) error {
	r := numbers{b: rest}
	last := Extent{File: uint64(r.uvarint()), Last: r.uvarint() - 1}
	for len(r.b) > 0 && !r.bad {
		e := Extent{File: last.File, Base: last.Last + 1}
		e.Last = e.Base + r.uvarint()
		e.MaxTime = last.MaxTime + r.varint()
		e.At = last.At + int64(last.Length) + r.varint()
		length := r.uvarint()
		if length>>1 > math.MaxInt32 || length < 2 || e.Last < e.Base || e.Last >= p.end || e.At < 0 {
			r.bad = true
			break
		}
		e.Length, e.Run = int32(length>>1), length&1 != 0
		p.index.append(e)
		last = e
	}
	if r.bad {
		return corrupt(p.number, "its extents are cut off")
	}
	return nil
}

// Batch takes over a batch that the log holds. rest is the payload behind the number,
// at offset at of a file.
func (p Replay) Batch(rest []byte, file uint64, at int64) error {
	now, b, err := TimeOf(rest)
	if err != nil {
		return err
	}
	return p.Take(b, now, file, at+int64(len(rest)-len(b)))
}

// Take takes over a batch that was appended at a time, and stands at offset at of a
// file.
func (p Replay) Take(b []byte, now int64, file uint64, at int64) error {
	h, err := batch.ReadHeader(b)
	if err != nil || h.Size() != len(b) {
		return corrupt(p.number, "what stands for a batch is none")
	}
	if h.BaseOffset != p.end || h.LastOffsetDelta < 0 {
		return corrupt(p.number, fmt.Sprintf("a batch at offset %d, and %d is next", h.BaseOffset, p.end))
	}
	p.add(&h, h.BaseOffset, Extent{File: file, At: at, Length: int32(h.Size())})
	p.high = p.end
	wrote(p.producers, &h, producer.Place{Offset: h.BaseOffset, Time: now})
	return nil
}
