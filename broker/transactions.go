package broker

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/group"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/txn"
	"github.com/hapaxmq/hapax/internal/wal"
)

// transactions is who may write under which producer id. What is decided is in the
// log before it is known, and an answer waits for the log as it was then: see
// package txn.
//
// Locks are taken in this order: the log's Begin, the turn of an id, mu, the
// groups', the partitions' by number.
type transactions struct {
	b    *Broker
	seed maphash.Seed

	// turns keep writes of a transaction and its end apart: a write holds its id's
	// for reading, from being admitted to being appended.
	turns [64]sync.RWMutex

	mu   sync.Mutex
	c    *txn.Coordinator
	last int64 // time never goes back, Unix ms
}

func (t *transactions) init(b *Broker, s txn.Settings) {
	t.b, t.c, t.seed = b, txn.New(s), maphash.MakeSeed()
}

func (t *transactions) turn(id string) *sync.RWMutex {
	return &t.turns[maphash.String(t.seed, id)%uint64(len(t.turns))]
}

// decision looks at the state, which it leaves as it is, and says what is to become
// of it, if anything.
type decision func(c *txn.Coordinator, now int64) *txn.Event

// change carries out a decision that may end the transaction of an id. What it
// decides is durable when the log is synced to end.
func (t *transactions) change(id string, f decision) (end int64, err error) {
	t.b.log.Begin()
	defer t.b.log.End()
	turn := t.turn(id)
	turn.Lock()
	defer turn.Unlock()
	return t.decide(f)
}

// write carries out a decision about writes of the transaction of an id, and then
// the writes, which append and are told of an error: no end of the transaction
// comes between the two.
func (t *transactions) write(id string, f decision, then func(error)) (end int64, err error) {
	t.b.log.Begin()
	defer t.b.log.End()
	turn := t.turn(id)
	turn.RLock()
	defer turn.RUnlock()
	end, err = t.decide(f)
	then(err)
	return end, err
}

func (t *transactions) decide(f decision) (end int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = max(t.last, t.b.clock())
	event := f(t.c, t.last)
	if event == nil {
		return t.b.wal.End(), nil // of what was decided before, and is answered again
	}
	var at wal.Position
	if event.Kind == txn.Ended {
		at, err = t.end(event)
	} else {
		at, err = t.b.log.Append(frameTransaction, event.Append(nil))
	}
	if err != nil {
		return 0, err
	}
	return at.End, t.c.Apply(event)
}

// count is how many transactional ids there are, and how many have one open.
func (t *transactions) count() (ids, open int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.c.Len()
}

// end ends a transaction in all its partitions and groups, by one frame.
func (t *transactions) end(event *txn.Event) (wal.Position, error) {
	markers := event.End.Markers
	in := make([]*partition.Partition, len(markers))
	for i, m := range markers {
		in[i] = t.b.topics.numbered(m.Partition)
	}
	if len(event.End.Groups) > 0 {
		t.b.groups.mu.Lock()
		defer t.b.groups.mu.Unlock()
	}
	gate := t.b.windows.ending(event.End.Marker.ID, event.End.Commit)
	at, err := t.b.log.EndTransaction(markerOf(event), in, gate, func(offsets []int64) (uint8, []byte) {
		for i, offset := range offsets {
			markers[i].Offset = offset
		}
		b := event.Append(nil)
		return frameEnded, append(binary.AppendUvarint(nil, uint64(len(b))), b...)
	})
	if err == nil {
		t.endGroups(event)
		t.b.counters.ended(event.End.Commit)
	}
	return at, err
}

// endGroups settles the offsets that the transaction has pending. They are in the
// log by then, in the groups' own events.
func (t *transactions) endGroups(event *txn.Event) {
	if len(event.End.Groups) > 0 {
		t.b.groups.g.Apply(group.Ended{Producer: event.End.Marker.ID, Commit: event.End.Commit})
	}
}

// markerOf is what the control batches of an end have in common.
func markerOf(event *txn.Event) batch.Marker {
	m := event.End.Marker
	return batch.Marker{Time: event.Time, ProducerID: m.ID, ProducerEpoch: m.Epoch, Commit: event.End.Commit}
}

// replayEnd takes over the end of a transaction.
func (t *transactions) replayEnd(f wal.Frame) error {
	event, at, err := readEnded(f)
	if err != nil {
		return err
	}
	for _, m := range event.End.Markers {
		if m.Offset == partition.NoOffset {
			continue
		}
		if len(f.Payload)-at < batch.MarkerSize {
			return fmt.Errorf("%w: the end of a transaction lacks a marker", hapax.ErrCorrupt)
		}
		if p := t.b.topics.numbered(m.Partition); p != nil {
			if err := (partition.Replay{Partition: p}).End(f.Payload[at:at+batch.MarkerSize], f.File, f.Offset+int64(at)); err != nil {
				return err
			}
		}
		at += batch.MarkerSize
	}
	if err := t.replayBehind(f, at); err != nil {
		return err
	}
	t.endGroups(event)
	return t.c.Apply(event)
}

// readEnded reads the event of the end of a transaction, and where in the frame its
// markers begin.
func readEnded(f wal.Frame) (event *txn.Event, at int, err error) {
	size, n := binary.Uvarint(f.Payload)
	if n <= 0 || size > uint64(len(f.Payload)-n) {
		return nil, 0, fmt.Errorf("%w: the end of a transaction is cut off", hapax.ErrCorrupt)
	}
	at = n + int(size)
	if event, err = txn.Read(f.Payload[n:at]); err != nil {
		return nil, 0, err
	}
	if event.Kind != txn.Ended {
		return nil, 0, fmt.Errorf("%w: a frame for the end of a transaction holds another event", hapax.ErrCorrupt)
	}
	return event, at, nil
}

// replayBehind takes over the batches that the end of a transaction has for the
// places of others, and beside them, from an offset of its frame on.
func (t *transactions) replayBehind(f wal.Frame, at int) error {
	for at < len(f.Payload) {
		number, rest, err := partition.NumberOf(f.Payload[at:])
		if err != nil {
			return err
		}
		now, rest, err := partition.TimeOf(rest)
		if err != nil {
			return err
		}
		at += len(f.Payload[at:]) - len(rest)
		h, err := batch.ReadHeader(rest)
		if err != nil || h.Size() > len(rest) {
			return fmt.Errorf("%w: the end of a transaction holds what is no batch", hapax.ErrCorrupt)
		}
		if p := t.b.topics.numbered(number); p != nil {
			if err := (partition.Replay{Partition: p}).Behind(rest[:h.Size()], now, f.File, f.Offset+int64(at)); err != nil {
				return err
			}
		}
		at += h.Size()
	}
	return nil
}

const (
	lapseEvery  = 250 * time.Millisecond // transactions that are open for too long are looked for
	forgetEvery = 10 * time.Minute       // the same of ids that are not used
)

// run lets time pass, until ctx ends.
func (t *transactions) run(ctx context.Context) {
	lapse, forget := time.NewTicker(lapseEvery), time.NewTicker(forgetEvery)
	defer lapse.Stop()
	defer forget.Stop()
	for {
		var due []string
		decide := (*txn.Coordinator).DecideTimeout
		select {
		case <-ctx.Done():
			return
		case <-lapse.C:
			t.look(func(c *txn.Coordinator, now int64) { due = c.TimedOut(now) })
		case <-forget.C:
			t.look(func(c *txn.Coordinator, now int64) { due = c.Expired(now) })
			decide = (*txn.Coordinator).DecideExpiry
		}
		for _, id := range due {
			end, err := t.change(id, func(c *txn.Coordinator, now int64) *txn.Event { return decide(c, id, now) })
			if err != nil {
				break // the log has failed, which is told elsewhere
			}
			t.b.wal.Want(end)
		}
	}
}

// abort aborts the open transaction of a producer, for an operator.
func (t *transactions) abort(p txn.Producer) (refused code.Error, end int64, err error) {
	var id string
	f := func(c *txn.Coordinator, now int64) (event *txn.Event) {
		refused, event = c.DecideAbort(p, now)
		return event
	}
	end = t.look(func(c *txn.Coordinator, now int64) {
		if event := f(c, now); event != nil {
			id = event.ID
		}
	})
	if id == "" {
		return refused, end, nil
	}
	end, err = t.change(id, func(c *txn.Coordinator, now int64) *txn.Event {
		if event := f(c, now); event != nil && event.ID == id {
			return event
		}
		return nil // it has ended meanwhile
	})
	return refused, end, err
}

// look reads. What it returns depends on the log up to end.
func (t *transactions) look(f func(c *txn.Coordinator, now int64)) (end int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = max(t.last, t.b.clock())
	f(t.c, t.last)
	return t.b.wal.End()
}

// snapshot gives all events that make the state.
func (t *transactions) snapshot(yield func([]byte) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for event := range t.c.Snapshot() {
		if err := yield(event.Append(nil)); err != nil {
			return err
		}
	}
	return nil
}

func (t *transactions) replay(payload []byte) error {
	event, err := txn.Read(payload)
	if err != nil {
		return err
	}
	return t.c.Apply(event)
}
