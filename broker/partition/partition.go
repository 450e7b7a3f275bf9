// Package partition is one partition of a topic: the offsets of its batches, where
// they stand in the node's log, and who may read how far.
//
// The records themselves are in the log alone. Nothing is shown to a reader before
// the log is synced behind it: the high watermark is the end of what is durable,
// whatever the acks it was written with.
package partition

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/producer"
)

// LeaderEpoch is that of every batch: there is one leader, and it never changes.
const LeaderEpoch = 0

// FrameBatch is the kind of the log's frames that hold a batch:
//
//	4 partition number · 8 append time, Unix ms · the batch
const FrameBatch = 1

// FrameIDs is the kind of those that say which ids a transaction has in a partition
// that it is about to end in, with a commit. There may be several of one:
//
//	4 partition number · 8 append time, Unix ms · 4 such frames that the end has had before · ids × (16 fingerprint ·
//	8 digest · 8 offset · 8 bytes)
const FrameIDs = 36

// HeadSize is how many bytes of a frame are before a batch that stands as it was
// appended: its partition's number and its time.
const HeadSize = frameHead

const frameHead = 12

// CopiesOf takes the copies off the front of a batch from which they were left out.
func CopiesOf(b []byte) (copies, rest []byte, err error) {
	if len(b) >= 4 {
		if n := uint64(binary.LittleEndian.Uint32(b)) * 16; n <= uint64(len(b)-4) {
			return b[4 : 4+n], b[4+n:], nil
		}
	}
	return nil, nil, fmt.Errorf("%w: the copies of a batch are cut off", hapax.ErrCorrupt)
}

// TimeOf takes the time off the head of a frame, behind the number.
func TimeOf(rest []byte) (now int64, behind []byte, err error) {
	if len(rest) < 8 {
		return 0, nil, fmt.Errorf("%w: a batch without a time", hapax.ErrCorrupt)
	}
	return int64(binary.LittleEndian.Uint64(rest)), rest[8:], nil
}

// AppendHead appends the beginning of a frame that has a time.
func AppendHead(b []byte, number uint32, now int64) []byte {
	b = binary.LittleEndian.AppendUint32(b, number)
	return binary.LittleEndian.AppendUint64(b, uint64(now))
}

// maxProducers is how many producers a partition knows at once.
const maxProducers = 100_000

// Settings of a partition.
type Settings struct {
	ProducerExpiry int64 // ms after which a producer that writes nothing is forgotten: producer.id.expiration.ms
}

// Partition is safe for concurrent use.
type Partition struct {
	number uint32
	log    *Log
	rules  producer.Rules

	touched atomic.Bool // in the log's list

	mu        sync.Mutex
	start     int64 // the first offset that is kept
	end       int64 // the next offset
	high      int64 // all below is durable
	clean     int64 // the first offset that was not compacted
	pending   queue // appends that may not be
	index     index
	producers *producer.Table
	aborted   abortions
	watching  watchers
	dropped   bool
}

// New makes a partition without records.
func New(number uint32, log *Log, set Settings) *Partition {
	rules := producer.Rules{Most: maxProducers, Expiry: set.ProducerExpiry}
	return &Partition{number: number, log: log, rules: rules, producers: producer.New(rules), watching: make(watchers)}
}

// Number is the partition's on this node, never given out twice.
func (p *Partition) Number() uint32 { return p.number }

// Appended is a batch that was appended, now or, if it is a duplicate, before.
type Appended struct {
	Base   int64 // its first offset
	Start  int64 // the first offset of the partition
	Time   int64 // when it was appended, Unix ms
	LogEnd int64 // it is durable when the log is synced so far
	Repeat bool  // it was appended before
}

// Append gives a valid batch its offsets and appends it. It writes them into the
// batch, whose bytes stay the caller's. If h, unlike the batch, has
// [batch.AppendTime], the records' time becomes that of the append: what the clock
// says when it is the batch's turn. A batch that a producer sends again gives what
// it was given at first, and is not appended. The gate, which may be nil, is asked
// about one that is new.
func (p *Partition) Append(b []byte, h batch.Header, clock func() time.Time, gate Gate) (Appended, error) {
	locked := []*Partition{p}
	if gate != nil {
		locked = ordered(append(locked, gate.Beside()...))
	}
	lockAll(locked)
	defer unlockAll(locked)
	if p.dropped {
		return Appended{}, fmt.Errorf("append: %w", code.UnknownTopicOrPartition)
	}
	from, now := sender(&h), clock().UnixMilli()
	if h.Idempotent() {
		switch v := p.producers.Check(from, now); {
		case v.Code != code.None:
			return Appended{}, fmt.Errorf("append: producer %d, epoch %d, sequence %d: %w", h.ProducerID, h.ProducerEpoch, h.BaseSequence, v.Code)
		case v.Duplicate:
			return Appended{Base: v.First.Offset, Start: p.start, Time: v.First.Time, LogEnd: v.First.Position, Repeat: true}, nil
		}
	}
	base := p.end
	var sifted Sifted
	if gate != nil {
		var err error
		if sifted, err = gate.Pass(Turn{Base: base, Now: now}, b); err != nil {
			return Appended{}, err
		}
		if sifted.Instead != nil {
			b, h = sifted.Instead, headerOf(sifted.Instead, h)
		}
	}
	batch.SetBase(b, base, LeaderEpoch)
	if h.Attributes.Has(batch.AppendTime) {
		batch.SetAppendTime(b, now)
		h.MaxTimestamp = now
	}
	at, begins, err := sifted.append(p, b, now)
	if gate != nil {
		gate.Passed(err)
	}
	if err != nil {
		return Appended{}, err
	}
	took(p, &h, Extent{File: at.File, At: begins, Length: int32(len(b))}, producer.Place{Offset: base, Time: now, Position: at.End})
	return Appended{Base: base, Start: p.start, Time: now, LogEnd: at.End}, nil
}

// headerOf is that of a batch in the place of one with header h.
func headerOf(b []byte, h batch.Header) batch.Header {
	instead, err := batch.ReadHeader(b)
	if err != nil {
		panic(err) // a gate makes it
	}
	instead.Attributes |= h.Attributes & batch.AppendTime
	return instead
}

// sender is what an idempotent batch says of its producer.
func sender(h *batch.Header) producer.Batch {
	return producer.Batch{
		ProducerID: h.ProducerID, Epoch: h.ProducerEpoch, First: h.BaseSequence, Count: h.LastOffsetDelta + 1,
		Transactional: h.Attributes.Has(batch.Transactional),
	}
}

// add takes a batch into the index. It must hold mu.
func (p *Partition) add(h *batch.Header, base int64, e Extent) {
	e.Base, e.Last, e.MaxTime = base, base+int64(h.LastOffsetDelta), h.Newest()
	p.index.append(e)
	p.end = e.Last + 1
}

// settle moves the high watermark to what is durable. It must hold mu.
func (p *Partition) settle() {
	synced := p.log.synced()
	for {
		a, ok := p.pending.front()
		if !ok || a.log > synced {
			return
		}
		p.high = a.end
		p.pending.pop()
	}
}

// wake tells those who watch that there may be more to read, and whether there is
// more to come.
func (p *Partition) wake() (more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle()
	p.watching.tell()
	return p.pending.n > 0
}

// watchers are told that there may be more to read.
type watchers map[chan<- struct{}]struct{}

func (all watchers) tell() {
	for w := range all {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// Watch makes w, which must hold one, be sent to when there may be more to read.
func (p *Partition) Watch(w chan<- struct{}) {
	p.log.watching.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watching[w] = struct{}{}
}

// Unwatch ends it.
func (p *Partition) Unwatch(w chan<- struct{}) {
	defer p.log.watching.Add(-1)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.watching, w)
}

// Drop makes the partition refuse all, for its topic is deleted.
func (p *Partition) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropped = true
	p.watching.tell()
}
