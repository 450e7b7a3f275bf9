package partition

import (
	"fmt"
	"slices"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/producer"
	"github.com/hapaxmq/hapax/internal/wal"
)

// NoOffset is that of a marker that has no place, for its partition is gone.
const NoOffset = -1

// EndTransaction ends a transaction in some partitions by one frame, so that it is
// ended in all of them or in none. A marker goes into each that is neither nil nor
// dropped; they are ascending by number.
//
// frame is given the offsets of the markers, in the order of the partitions, and
// says what the frame begins with; the control batches that have an offset follow
// it. Readers see nothing of it before the log is synced. It is called between
// Begin and End.
func (l *Log) EndTransaction(m batch.Marker, in []*Partition, frame func(offsets []int64) (kind uint8, head []byte)) (wal.Position, error) {
	lockAll(in)
	defer unlockAll(in)
	offsets := make([]int64, len(in))
	var markers []byte
	for i, p := range in {
		if offsets[i] = NoOffset; p == nil || p.dropped {
			continue
		}
		offsets[i] = p.end
		m.Offset, m.LeaderEpoch = p.end, LeaderEpoch
		markers = batch.AppendMarker(markers, m)
	}
	kind, head := frame(offsets)
	at, err := l.Append(kind, head, markers)
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
	return at, nil
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
