package partition

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/producer"
	"github.com/hapaxmq/hapax/internal/wal"
)

// NoOffset is that of a marker that has no place, for its partition is gone.
const NoOffset = -1

// EndGate looks at the end of a transaction when it is its turn. A call of Pass that
// returns no error is followed by one of Passed.
type EndGate interface {
	// Pass returns batches for the places of others that the transaction has in the
	// partitions. It may append frames of its own to the log, and sync it.
	Pass(in []Ending) ([]Instead, error)
	// Passed ends it: the end is appended, or the error says why it is not.
	Passed(err error)
}

// Ending is a partition in which a transaction is about to end.
type Ending struct {
	*Partition
	Marker int64 // the offset of its marker
}

// Batch is where the batch stands that holds an offset.
func (e Ending) Batch(offset int64) (found Extent, ok bool) {
	e.index.from(offset, func(x Extent) bool {
		found, ok = x, x.Base <= offset
		return false
	})
	return found, ok
}

// Instead is a batch with the offsets of another.
type Instead struct {
	In    Ending
	Batch []byte
}

// EndTransaction ends a transaction in some partitions by one frame, so that it is
// ended in all of them or in none. A marker goes into each that is neither nil nor
// dropped; they are ascending by number.
//
// frame is given the offsets of the markers, in the order of the partitions, and
// says what the frame begins with; the control batches that have an offset follow
// it, and what the gate, which may be nil, has instead of others: 4 partition number ·
// the batch. Readers see nothing of it before the log is synced. It is called between
// Begin and End.
func (l *Log) EndTransaction(m batch.Marker, in []*Partition, gate EndGate, frame func(offsets []int64) (kind uint8, head []byte)) (at wal.Position, err error) {
	lockAll(in)
	defer unlockAll(in)
	offsets := make([]int64, len(in))
	var markers []byte
	var ending []Ending
	for i, p := range in {
		if offsets[i] = NoOffset; p == nil || p.dropped {
			continue
		}
		offsets[i] = p.end
		m.Offset, m.LeaderEpoch = p.end, LeaderEpoch
		markers = batch.AppendMarker(markers, m)
		ending = append(ending, Ending{p, p.end})
	}
	var instead []Instead
	if gate != nil {
		if instead, err = gate.Pass(ending); err != nil {
			return at, err
		}
	}
	kind, head := frame(offsets)
	at, err = l.Append(kind, head, markers, insteadOf(instead))
	if gate != nil {
		gate.Passed(err)
	}
	if err != nil {
		return at, err
	}
	e := Extent{File: at.File, At: at.Offset + int64(len(head))}
	for i, p := range in {
		if offsets[i] == NoOffset {
			continue
		}
		m.Offset, e.Length = offsets[i], batch.MarkerSize
		p.mark(&m, e, at.End)
		e.At += batch.MarkerSize
		p.pending.push(appended{end: p.end, log: at.End}, p.settle)
		l.touch(p)
	}
	return at, l.replace(instead, at, int64(len(head)+len(markers)))
}

// insteadOf is how a frame holds batches in the place of others.
func insteadOf(all []Instead) (b []byte) {
	for _, x := range all {
		b = append(binary.LittleEndian.AppendUint32(b, x.In.number), x.Batch...)
	}
	return b
}

// replace puts batches into the places of others, once they are durable: until
// then these are read. They stand in a frame from an offset on. It must hold the
// partitions' mu.
func (l *Log) replace(all []Instead, at wal.Position, from int64) error {
	if len(all) == 0 {
		return nil
	}
	if err := l.Sync(at.End); err != nil {
		return err
	}
	b := insteadOf(all)
	for _, x := range all {
		rest, err := Replay{x.In.Partition}.Instead(b[4:], at.File, at.Offset+from+4)
		if err != nil {
			return err
		}
		from += int64(len(b) - len(rest))
		b = rest
	}
	return nil
}

// Instead takes over the batch that b begins with, at an offset of a file of the
// log, in the place of another, and returns what is behind it.
func (p Replay) Instead(b []byte, file uint64, at int64) (rest []byte, err error) {
	h, err := batch.ReadHeader(b)
	if err != nil || h.Size() > len(b) || h.BaseOffset < 0 || h.LastOffsetDelta < 0 || h.LastOffset() >= p.end {
		return nil, corrupt(p.number, "what stands for a batch of a transaction is none")
	}
	e := Extent{File: file, At: at, Length: int32(h.Size()), Base: h.BaseOffset, Last: h.LastOffset(), MaxTime: h.Newest()}
	p.index.replace(e.Base, e.Last+1, e)
	p.index.trim(p.start)
	return b[h.Size():], nil
}

func lockAll(in []*Partition) {
	for _, p := range in {
		if p != nil {
			p.mu.Lock()
		}
	}
}

func unlockAll(in []*Partition) {
	for _, p := range in {
		if p != nil {
			p.mu.Unlock()
		}
	}
}

// mark takes over a marker that stands in the log, at e. end is what the log is to
// be synced to for it to be durable; 0: it is. It must hold mu.
func (p *Partition) mark(m *batch.Marker, e Extent, end int64) {
	e.Base, e.Last, e.MaxTime = m.Offset, m.Offset, m.Time
	p.index.append(e)
	p.end = m.Offset + 1
	synced := p.log.synced()
	first, open := p.producers.End(producer.Marker{
		ProducerID: m.ProducerID, Epoch: m.ProducerEpoch, CoordinatorEpoch: m.CoordinatorEpoch,
	}, producer.Place{Offset: m.Offset, Time: m.Time, Position: end}, synced)
	if !open || m.Commit {
		return
	}
	a := Aborted{Producer: m.ProducerID, First: first, Last: m.Offset, stable: p.end}
	if unstable, ok := p.producers.FirstUnstable(synced); ok {
		a.stable = unstable
	}
	p.aborted = append(p.aborted, a)
}

// End takes over a marker, which stands at offset at of a file
// of the log.
func (p Replay) End(b []byte, file uint64, at int64) error {
	m, err := batch.ReadMarker(b)
	if err != nil || len(b) != batch.MarkerSize {
		return corrupt(p.number, "what stands for the end of a transaction is none")
	}
	if m.Offset != p.end {
		return corrupt(p.number, fmt.Sprintf("the end of a transaction at offset %d, and %d is next", m.Offset, p.end))
	}
	p.mark(&m, Extent{File: file, At: at, Length: batch.MarkerSize}, 0)
	p.high = p.end
	return nil
}

// Producers are those that the partition knows, with what it knows of each.
func (p *Partition) Producers() []producer.Producer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(p.producers.All())
}

// ExpireProducers forgets the producers that have written nothing for as long as
// the settings say, and have no transaction open.
func (p *Partition) ExpireProducers(now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.producers.Expire(now)
}

// IsOpen tells whether the offset is of an open transaction of a producer.
func (p Old) IsOpen(producer, offset int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for known := range p.producers.All() {
		if known.ID == producer {
			return known.FirstOffset != batch.None && offset >= known.FirstOffset
		}
	}
	return false
}

// Aborted are the aborted transactions that reach behind an offset.
func (p Old) Aborted(offset int64) []Aborted {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.aborted.between(offset, p.end)
}
