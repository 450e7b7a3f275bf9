package producer

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"github.com/hapaxmq/hapax/broker/code"
)

const (
	// Remembered is how many batches of a producer are known again: as many as
	// clients have in flight.
	Remembered = 5

	// None stands for no sequence number, epoch or offset.
	None = -1
)

// Rules bound what is kept.
type Rules struct {
	Most   int   // producers at once, at least 1
	Expiry int64 // ms after a producer's last write, at least 1
}

// Validate reports the first thing that is wrong with r.
func (r Rules) Validate() error {
	switch {
	case r.Most < 1:
		return fmt.Errorf("%d producers: want 1 or more", r.Most)
	case r.Expiry < 1:
		return fmt.Errorf("producers expire after %d ms: want 1 or more", r.Expiry)
	}
	return nil
}

// Batch is what a producer says of a batch.
type Batch struct {
	ProducerID    int64
	Epoch         int16
	First         int32 // sequence number of its first record
	Count         int32 // records, kept or not: the last offset delta and one
	Transactional bool
}

// last is the sequence number of the batch's last record.
func (b Batch) last() int32 { return Advance(b.First, b.Count-1) }

// Place is where and when a batch or a marker was appended.
type Place struct {
	Offset   int64 // of its first record
	Time     int64 // append time
	Position int64 // of the log: it is durable once the log is synced to it; 0 already is
}

// Verdict is what becomes of a batch: it is to be appended if the code is
// code.None and it is no duplicate.
type Verdict struct {
	Code      code.Error
	Duplicate bool
	First     Place // of the first copy of a duplicate
}

// Marker ends a producer's transaction in the partition.
type Marker struct {
	ProducerID       int64
	Epoch            int16
	CoordinatorEpoch int32
}

// Stats count since the table was made.
type Stats struct {
	Unknown uint64 // producers not known that began with a sequence number above 0
	Evicted uint64 // producers forgotten early, for want of room
}

// Table is what is known of a partition's producers.
type Table struct {
	rules Rules
	known map[int64]*producer
	idle  list        // without an open transaction, the longest silent first
	open  []*producer // with one, by its first offset
	ended []ended     // transactions whose end may not be durable, by position
	stats Stats
}

type producer struct {
	id               int64
	epoch            int16
	next             int32 // sequence number that must come next; None: none may
	coordinatorEpoch int32 // of the last marker, or None
	time             int64 // of the last write
	first            int64 // offset of its open transaction, or None

	// What was appended last in this epoch, oldest first, without a gap.
	batches [Remembered]appended
	count   int
	more    bool // there were more batches in this epoch

	older, newer *producer // in the list of idle ones
}

type appended struct {
	first, last int32
	place       Place
}

type ended struct {
	first    int64
	position int64
}

// New returns an empty table. The rules must be valid.
func New(rules Rules) *Table {
	return &Table{rules: rules, known: map[int64]*producer{}}
}

// Len is the number of producers that are kept.
func (t *Table) Len() int { return len(t.known) }

// Stats returns the counters.
func (t *Table) Stats() Stats { return t.stats }

// lookup finds a producer unless its time is over.
func (t *Table) lookup(id, now int64) *producer {
	if p := t.known[id]; p != nil && !t.expired(p, now) {
		return p
	}
	return nil
}

func (t *Table) expired(p *producer, now int64) bool {
	return p.first == None && now-p.time >= t.rules.Expiry
}

// Check says what is to become of a batch at a time. It changes nothing.
//
//   - A producer that is not known may begin with any sequence number.
//   - Epoch and both ends are those of one of the last five batches: a duplicate.
//   - In the same epoch the next sequence number must follow; else
//     code.OutOfOrderSequenceNumber, which covers older repeats and overlaps.
//   - A higher epoch must begin with 0; else code.OutOfOrderSequenceNumber.
//   - A lower epoch is fenced: code.InvalidProducerEpoch.
//   - As many producers as may be have open transactions, and this would be one
//     more, or is not known: code.NotEnoughReplicas, which makes clients try again.
func (t *Table) Check(b Batch, now int64) Verdict {
	p := t.lookup(b.ProducerID, now)
	if p != nil {
		if v := p.check(b); v != (Verdict{}) {
			return v
		}
	}
	if len(t.open) >= t.rules.Most && (p == nil || p.first == None && b.Transactional) {
		return Verdict{Code: code.NotEnoughReplicas}
	}
	return Verdict{}
}

func (p *producer) check(b Batch) Verdict {
	next := int32(0)
	switch {
	case b.Epoch < p.epoch:
		return Verdict{Code: code.InvalidProducerEpoch}
	case b.Epoch == p.epoch:
		next = p.next
		for _, old := range p.batches[:p.count] {
			if old.first == b.First && old.last == b.last() {
				return Verdict{Duplicate: true, First: old.place}
			}
		}
	}
	if b.First != next {
		return Verdict{Code: code.OutOfOrderSequenceNumber}
	}
	return Verdict{}
}

// CheckBeside says whether a batch without sequence numbers may be appended to a
// producer's transaction: see [Table.Beside].
func (t *Table) CheckBeside(id, now int64) code.Error {
	if p := t.lookup(id, now); len(t.open) >= t.rules.Most && (p == nil || p.first == None) {
		return code.NotEnoughReplicas
	}
	return code.None
}

// CheckEnd says whether a marker may be appended: not if its epoch is over.
func (t *Table) CheckEnd(m Marker, now int64) code.Error {
	if p := t.lookup(m.ProducerID, now); p != nil && m.Epoch < p.epoch {
		return code.InvalidProducerEpoch
	}
	return code.None
}

// Apply takes in a batch that was appended. It must have been checked, or come
// from the log; a batch from the log that does not follow what is known begins
// anew, for its producer was forgotten before it.
func (t *Table) Apply(b Batch, at Place) {
	p := t.lookup(b.ProducerID, at.Time)
	if p == nil {
		p = t.add(b.ProducerID, at.Time)
		if b.First != 0 {
			t.stats.Unknown++
		}
		p.begin(b.Epoch, b.First)
	}
	if b.Epoch != p.epoch || b.First != p.next {
		p.begin(b.Epoch, b.First)
	}
	p.push(appended{b.First, b.last(), at})
	if b.Transactional && p.first == None {
		t.openAt(p, at.Offset)
	}
	t.touch(p, at.Time)
}

// Beside takes in a batch that was appended to a producer's transaction, but not by
// the producer: it has no sequence numbers, and those that come next stay the same.
func (t *Table) Beside(id int64, epoch int16, at Place) {
	p := t.lookup(id, at.Time)
	if p == nil {
		p = t.add(id, at.Time)
		p.begin(epoch, 0)
	}
	if epoch > p.epoch {
		p.begin(epoch, 0)
	}
	if p.first == None {
		t.openAt(p, at.Offset)
	}
	t.touch(p, at.Time)
}

// End takes in a marker that was appended. It returns the first offset of the
// transaction that it ends; none need be open. The marker's epoch is the
// producer's from then on: a transaction's end may raise it (KIP-890). Synced is
// the position to which the log is synced.
func (t *Table) End(m Marker, at Place, synced int64) (first int64, ok bool) {
	p := t.lookup(m.ProducerID, at.Time)
	if p == nil {
		p = t.add(m.ProducerID, at.Time)
		p.begin(m.Epoch, 0)
	}
	if m.Epoch > p.epoch {
		p.begin(m.Epoch, 0)
	}
	p.coordinatorEpoch = m.CoordinatorEpoch
	first = p.first
	t.close(p)
	t.touch(p, at.Time)
	t.forgetEnded(synced)
	if first != None && at.Position > synced {
		t.ended = append(t.ended, ended{first, at.Position})
	}
	return first, first != None
}

// Fail undoes a producer's batches from a position on, which the log could not
// keep: they are no duplicates when they are sent again, and the first of them
// must be. If there were more of them than are remembered, nothing but a higher
// epoch may follow. An epoch that was begun stays begun, and markers stay: after
// one fails, the table must be built anew from the log.
func (t *Table) Fail(id, position int64) {
	p := t.known[id]
	if p == nil {
		return
	}
	kept := slices.IndexFunc(p.batches[:p.count], func(a appended) bool { return a.place.Position >= position })
	if kept < 0 {
		return
	}
	undone := p.batches[kept]
	p.count, p.next = kept, undone.first
	if kept == 0 && p.more {
		p.next = None
	}
	if p.first != None && p.first >= undone.place.Offset {
		t.close(p)
	}
}

// Expire forgets the producers whose time is over, to free their memory: Check
// and Apply know them no more as it is. It returns how many.
func (t *Table) Expire(now int64) (n int) {
	for p := t.idle.front; p != nil && t.expired(p, now); p = t.idle.front {
		t.remove(p)
		n++
	}
	return n
}

// FirstOpen is the first offset of the oldest transaction that is open.
func (t *Table) FirstOpen() (offset int64, ok bool) {
	if len(t.open) == 0 {
		return None, false
	}
	return t.open[0].first, true
}

// FirstUnstable is the first offset of the oldest transaction that is open, or
// whose end is not durable when the log is synced to a position. Without one, all
// that is durable is stable.
func (t *Table) FirstUnstable(synced int64) (offset int64, ok bool) {
	t.forgetEnded(synced)
	offset = None
	if len(t.open) > 0 {
		offset = t.open[0].first
	}
	for _, e := range t.ended {
		if offset == None || e.first < offset {
			offset = e.first
		}
	}
	return offset, offset != None
}

func (t *Table) forgetEnded(synced int64) {
	n := 0
	for n < len(t.ended) && t.ended[n].position <= synced {
		n++
	}
	t.ended = slices.Delete(t.ended, 0, n)
}

// Producer is what is known of a producer.
type Producer struct {
	ID               int64
	Epoch            int16
	LastSequence     int32 // None if nothing was appended in this epoch
	LastOffset       int64 // the first of its last batch, or None
	LastTime         int64
	CoordinatorEpoch int32 // None before its first marker
	FirstOffset      int64 // of its open transaction, or None
}

// All yields the producers: those without an open transaction, the longest silent
// first, and then the others. The table must not change meanwhile.
func (t *Table) All() iter.Seq[Producer] {
	return func(yield func(Producer) bool) {
		for p := t.idle.front; p != nil; p = p.newer {
			if !yield(p.describe()) {
				return
			}
		}
		for _, p := range t.open {
			if !yield(p.describe()) {
				return
			}
		}
	}
}

func (p *producer) describe() Producer {
	sequence, offset := int32(None), int64(None)
	if p.count > 0 {
		last := &p.batches[p.count-1]
		sequence, offset = last.last, last.place.Offset
	}
	return Producer{p.id, p.epoch, sequence, offset, p.time, p.coordinatorEpoch, p.first}
}

// begin begins an epoch, or the same one anew.
func (p *producer) begin(epoch int16, first int32) {
	p.epoch, p.next = epoch, first
	p.count, p.more = 0, false
}

func (p *producer) push(a appended) {
	if p.count == Remembered {
		copy(p.batches[:], p.batches[1:])
		p.count, p.more = p.count-1, true
	}
	p.batches[p.count] = a
	p.count++
	p.next = Advance(a.last, 1)
}

// add adds a producer, and forgets the one that has been silent longest if there
// are too many. If all have open transactions there is one more than may be:
// what the log has must not be lost, and Check lets no more into the log.
func (t *Table) add(id, now int64) *producer {
	if old := t.known[id]; old != nil {
		t.remove(old)
	}
	t.shrink(t.rules.Most-1, now)
	p := &producer{id: id, coordinatorEpoch: None, first: None}
	t.known[id] = p
	t.idle.push(p)
	return p
}

// shrink forgets producers until there are n, or none but with open transactions.
func (t *Table) shrink(n int, now int64) {
	for p := t.idle.front; p != nil && len(t.known) > n; p = t.idle.front {
		if !t.expired(p, now) {
			t.stats.Evicted++
		}
		t.remove(p)
	}
}

// remove forgets a producer without an open transaction.
func (t *Table) remove(p *producer) {
	t.idle.remove(p)
	delete(t.known, p.id)
}

// touch puts a producer where its last write belongs.
func (t *Table) touch(p *producer, now int64) {
	p.time = now
	if p.first == None {
		t.idle.remove(p)
		t.idle.push(p)
	}
}

// openAt begins a transaction.
func (t *Table) openAt(p *producer, offset int64) {
	t.idle.remove(p)
	p.first = offset
	i, _ := slices.BinarySearchFunc(t.open, offset, byFirst)
	t.open = slices.Insert(t.open, i, p)
}

// close ends a transaction, if one is open.
func (t *Table) close(p *producer) {
	if p.first == None {
		return
	}
	i, _ := slices.BinarySearchFunc(t.open, p.first, byFirst)
	t.open = slices.Delete(t.open, i, i+1)
	p.first = None
	t.idle.push(p)
}

func byFirst(p *producer, offset int64) int { return cmp.Compare(p.first, offset) }
