package partition

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/producer"
	"github.com/hapaxmq/hapax/internal/wal"
)

// FrameTogether is the kind of the log's frames that hold a batch from which copies
// were left out, and which, or batches of several partitions, each once, which are
// there together or not at all:
//
//	batches × (4 copies · copies × 16 fingerprint · 4 partition number · 8 append time, Unix ms · the batch)
//
// Of a batch without a transaction there is one copy for each offset without a record,
// and zeros stand for a record in conflict. Behind them are those of records that stand,
// with a mark, since they say the same as the first ones in other bytes. The rest is as
// in [FrameBatch].
const FrameTogether = 38

// Gate looks at a batch when it is its turn: its producer's sequence is new, and
// its offsets are known. A call of Pass that returns no error is followed by one of
// Passed.
type Gate interface {
	// Beside are the other partitions, each once, for which it may have batches.
	Beside() []*Partition
	// Pass returns what is to be appended for a batch, or why nothing is.
	Pass(at Turn, b []byte) (Sifted, error)
	// Passed ends it: that is appended, or the error says why it is not.
	Passed(err error)
}

// Turn is when it is a batch's turn.
type Turn struct {
	Base int64 // its first offset
	Now  int64 // Unix ms
}

// Refuses tells why a partition of the gate's Beside would not take a batch of a
// producer's transaction, or, with [batch.None], of nobody; nil if it would.
func (t Turn) Refuses(p *Partition, producer int64) error {
	if p.dropped {
		return code.UnknownTopicOrPartition
	}
	if producer != batch.None {
		if c := p.producers.CheckBeside(producer, t.Now); c != code.None {
			return c
		}
	}
	return nil
}

// Sifted is what a gate lets pass.
type Sifted struct {
	Instead []byte   // to append instead of the batch, with its offsets and sequence; nil: the batch
	Copies  []byte   // the fingerprints, of 16 bytes each, of copies that the log is to know of
	Beside  []Beside // to append with it
}

// Beside is a batch for another partition, with no producer, or with one in whose
// transaction it is. It has no sequence numbers.
type Beside struct {
	In         *Partition
	Batch      []byte
	AppendTime bool // its records' time becomes that of the append
}

// stamp gives the batch its offset and time.
func (x *Beside) stamp(base, now int64) {
	batch.SetBase(x.Batch, base, LeaderEpoch)
	if x.AppendTime {
		batch.SetAppendTime(x.Batch, now)
	}
}

// ordered are partitions by number, each once.
func ordered(all []*Partition) []*Partition {
	slices.SortFunc(all, func(a, b *Partition) int { return cmp.Compare(a.number, b.number) })
	return slices.Compact(all)
}

// append appends a batch, which has its offset, to a partition, and what a gate has
// beside it, and takes that over. It returns where the batch begins in its file.
func (s *Sifted) append(p *Partition, b []byte, now int64) (at wal.Position, begins int64, err error) {
	if len(s.Beside) == 0 {
		return p.log.appendBatch(AppendHead(make([]byte, 0, frameHead+4), p.number, now), s.Copies, b)
	}
	var frame []byte
	starts := make([]int64, len(s.Beside))
	for i := range s.Beside {
		x := &s.Beside[i]
		x.stamp(x.In.end, now)
		frame, starts[i] = appendTogether(frame, x.In.number, now, nil, x.Batch)
	}
	frame, begins = appendTogether(frame, p.number, now, s.Copies, b)
	if at, err = p.log.Append(FrameTogether, frame); err != nil {
		return at, 0, err
	}
	for i := range s.Beside {
		s.Beside[i].take(now, at, at.Offset+starts[i])
	}
	return at, at.Offset + begins, nil
}

// appendTogether appends one batch of a frame, and returns where it begins.
func appendTogether(b []byte, number uint32, now int64, copies, one []byte) (frame []byte, begins int64) {
	b = append(binary.LittleEndian.AppendUint32(b, uint32(len(copies)/16)), copies...)
	b = AppendHead(b, number, now)
	return append(b, one...), int64(len(b))
}

// take takes over that the batch was appended.
func (x *Beside) take(now int64, at wal.Position, begins int64) {
	h := headerOf(x.Batch, batch.Header{})
	took(x.In, &h, Extent{File: at.File, At: begins, Length: int32(len(x.Batch))}, producer.Place{Offset: h.BaseOffset, Time: now, Position: at.End})
}

// took takes over that a batch was appended to a partition. It must hold mu.
func took(p *Partition, h *batch.Header, e Extent, at producer.Place) {
	p.add(h, at.Offset, e)
	wrote(p.producers, h, at)
	p.pending.push(appended{end: p.end, log: at.Position}, p.settle)
	p.log.touch(p)
}

// wrote notes what a batch says of its producer.
func wrote(t *producer.Table, h *batch.Header, at producer.Place) {
	switch {
	case !h.Idempotent():
	case h.BaseSequence == batch.None:
		t.Beside(h.ProducerID, h.ProducerEpoch, at)
	default:
		t.Apply(sender(h), at)
	}
}

// Together is one batch of a [FrameTogether].
type Together struct {
	Copies []byte // fingerprints
	Number uint32 // of the partition
	Time   int64  // of the append, Unix ms
	Batch  []byte
	At     int64 // of the batch in the payload
}

// ReadTogether reads the payload of a [FrameTogether], whose bytes it gives.
func ReadTogether(payload []byte) (all []Together, err error) {
	for b := payload; len(b) > 0; {
		var t Together
		if t.Copies, b, err = CopiesOf(b); err != nil {
			return nil, err
		}
		if t.Number, b, err = NumberOf(b); err != nil {
			return nil, err
		}
		if t.Time, b, err = TimeOf(b); err != nil {
			return nil, err
		}
		h, err := batch.ReadHeader(b)
		if err != nil || h.Size() > len(b) {
			return nil, fmt.Errorf("%w: what stands for one of several batches is none", hapax.ErrCorrupt)
		}
		t.At, t.Batch, b = int64(len(payload)-len(b)), b[:h.Size()], b[h.Size():]
		all = append(all, t)
	}
	return all, nil
}
