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

// EndGate looks at the end of a transaction when it is its turn. A call of Pass that
// returns no error is followed by one of Passed.
type EndGate interface {
	// Beside are the partitions for which it may have batches, whether the transaction
	// ends in them or not.
	Beside() []*Partition
	// Pass returns what stands behind the markers. It may append frames of its own to the
	// log, and sync it.
	Pass(in []Ending, at Turn) (Behind, error)
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
		found, ok = x, x.Base <= offset && x.Last >= e.start
		return false
	})
	return found, ok
}

// Behind is what stands behind the markers of a transaction's end.
type Behind struct {
	Now     int64     // when it is appended, Unix ms
	Instead []Instead // for the places of others that the transaction has
	Beside  []Beside  // for the ends of the gate's partitions
}

// Instead is a batch with the offsets of another.
type Instead struct {
	In    Ending
	Batch []byte
	Time  int64 // when the other was appended, Unix ms
}

// EndTransaction ends a transaction in some partitions by one frame, so that it is
// ended in all of them or in none. A marker goes into each that is neither nil nor
// dropped; they are ascending by number.
//
// frame is given the offsets of the markers, in the order of the partitions, and
// says what the frame begins with; the control batches that have an offset follow
// it, and what the gate, which may be nil, has instead of others, and beside them: 4
// partition number · 8 append time, Unix ms · the batch. Readers see nothing of it before the log is synced.
// It is called between Begin and End.
func (l *Log) EndTransaction(m batch.Marker, in []*Partition, gate EndGate, frame func(offsets []int64) (kind uint8, head []byte)) (at wal.Position, err error) {
	var beside []*Partition
	if gate != nil {
		beside = gate.Beside()
	}
	locked := together(in, beside)
	lockAll(locked)
	defer unlockAll(locked)
	offsets := make([]int64, len(in))
	var markers []byte
	var ending []Ending
	next := make(map[*Partition]int64, len(beside)) // offset behind its marker
	for i, p := range in {
		if offsets[i] = NoOffset; p == nil || p.dropped {
			continue
		}
		offsets[i] = p.end
		next[p] = p.end + 1
		m.Offset, m.LeaderEpoch = p.end, LeaderEpoch
		markers = batch.AppendMarker(markers, m)
		ending = append(ending, Ending{p, p.end})
	}
	var behind Behind
	if gate != nil {
		if behind, err = gate.Pass(ending, Turn{Now: m.Time}); err != nil {
			return at, err
		}
	}
	kind, head := frame(offsets)
	at, err = l.Append(kind, head, markers, behind.append(next))
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
	return at, l.take(&behind, at, e.At)
}

// together are partitions of both, by number, each once.
func together(in, beside []*Partition) []*Partition {
	if len(beside) == 0 {
		return in
	}
	all := append(slices.Clone(beside), in...)
	return ordered(slices.DeleteFunc(all, func(p *Partition) bool { return p == nil }))
}

// append appends it, when the others have their offsets: what is next of partitions
// is the end of others.
func (x *Behind) append(next map[*Partition]int64) (b []byte) {
	for i := range x.Instead {
		s := &x.Instead[i]
		b = append(AppendHead(b, s.In.number, s.Time), s.Batch...)
	}
	for i := range x.Beside {
		s := &x.Beside[i]
		base, ok := next[s.In]
		if !ok {
			base = s.In.end
		}
		s.stamp(base, x.Now)
		next[s.In] = base + int64(headerOf(s.Batch, batch.Header{}).LastOffsetDelta) + 1
		b = append(AppendHead(b, s.In.number, x.Now), s.Batch...)
	}
	return b
}

// take takes over what stands in a frame from an offset on. What is in the place of
// others is so once it is durable: until then those are read. It must hold the
// partitions' mu.
func (l *Log) take(x *Behind, at wal.Position, from int64) error {
	instead := from
	for i := range x.Instead {
		from += HeadSize + int64(len(x.Instead[i].Batch))
	}
	for i := range x.Beside {
		x.Beside[i].take(x.Now, at, from+HeadSize)
		from += HeadSize + int64(len(x.Beside[i].Batch))
	}
	if len(x.Instead) == 0 {
		return nil
	}
	if err := l.Sync(at.End); err != nil {
		return err
	}
	for i := range x.Instead {
		s := &x.Instead[i]
		if err := (Replay{s.In.Partition}).Instead(s.Batch, at.File, instead+HeadSize); err != nil {
			return err
		}
		instead += HeadSize + int64(len(s.Batch))
	}
	return nil
}

// Behind takes over a batch that stands behind the markers of a transaction's end,
// at an offset of a file of the log: in the place of another, or, at the partition's
// end, as a new one.
func (p Replay) Behind(b []byte, now int64, file uint64, at int64) error {
	if h, err := batch.ReadHeader(b); err == nil && h.BaseOffset == p.end {
		return p.Take(b, now, file, at)
	}
	return p.Instead(b, file, at)
}

// Instead takes over a batch, at an offset of a file of the log, in the place of
// another.
func (p Replay) Instead(b []byte, file uint64, at int64) error {
	h, err := batch.ReadHeader(b)
	if err != nil || h.Size() != len(b) || h.BaseOffset < 0 || h.LastOffsetDelta < 0 || h.LastOffset() >= p.end {
		return corrupt(p.number, "what stands for a batch of a transaction is none")
	}
	e := Extent{File: file, At: at, Length: int32(h.Size()), Base: h.BaseOffset, Last: h.LastOffset(), MaxTime: h.Newest()}
	p.index.replace(e.Base, e.Last+1, e)
	trim(p.Partition)
	return nil
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
	trim(p)
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
