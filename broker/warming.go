package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/ledger"
)

// A window that is begun on a topic with records warms: it takes the ids of what is
// there, in the order in which it was appended, while writes pass as they come. Then,
// with nobody appending for a moment, it takes the rest, and is enforced.
type warming struct {
	ws    *windows
	t     *topic
	w     *window
	parts []*warmPart
	most  int   // bytes that are read of a partition at a time
	whole int64 // the time from which on it has all ids, Unix ms; 0: nothing was read
}

// warmPart is a partition as it is read.
type warmPart struct {
	partition.Old
	index   int32
	next    int64 // the offset to go on from
	batches []byte
	at      []warmBatch
	aborted []partition.Aborted
	time    int64 // of the last batch, Unix ms
	lacks   bool  // records before those that are read next
}

// warmBatch is a batch that was read.
type warmBatch struct {
	batch.Header
	b    []byte
	time int64 // when it was appended, Unix ms
}

const (
	// warmAtOnce is how many bytes of records a warming window reads ahead.
	warmAtOnce = 32 << 20
	// warmRest is how many offsets may be left for when nobody may append.
	warmRest = 2000
	// warmPasses is how often a window goes over what has come meanwhile before it
	// takes the rest, whatever that is.
	warmPasses = 10
)

func newWarming(ws *windows, t *topic) *warming {
	m := &warming{ws: ws, t: t, w: t.window, most: min(max(warmAtOnce/len(t.partitions), 64<<10), 1<<20)}
	m.grow(t)
	return m
}

// grow takes in the partitions that the topic has more by now.
func (m *warming) grow(t *topic) {
	for i := len(m.parts); i < len(t.partitions); i++ {
		p := t.partitions[i]
		m.parts = append(m.parts, &warmPart{Old: partition.Old{Partition: p}, index: int32(i), next: m.w.followed(int32(i)) + 1, lacks: p.Start() > 0})
	}
	m.t = t
}

// run warms the window, and enforces it unless ctx ends or the window does.
func (m *warming) run(ctx context.Context) error {
	for pass := 0; pass < warmPasses && m.left() > warmRest; pass++ {
		if err := m.pass(ctx, true); err != nil {
			return err
		}
	}
	if err := m.ws.files.follow(); err != nil { // little is left to sync then
		return err
	}
	return m.ws.topics.log.Hold(func() error { return m.finish(ctx) })
}

// left is how many offsets there are that were not read.
func (m *warming) left() (n int64) {
	for _, p := range m.parts {
		n += p.Limit(true) - p.next
	}
	return n
}

// pass takes what there is, the oldest first; stable is to leave out what is behind
// the first open transaction of a partition.
func (m *warming) pass(ctx context.Context, stable bool) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var oldest *warmPart
		for _, p := range m.parts {
			if len(p.at) == 0 {
				if err := m.read(p, stable); err != nil {
					return fmt.Errorf("partition %d: %w", p.index, err)
				}
			}
			if len(p.at) > 0 && (oldest == nil || p.at[0].time < oldest.at[0].time) {
				oldest = p
			}
		}
		if oldest == nil {
			return nil
		}
		b := oldest.at[0]
		oldest.at = oldest.at[1:]
		if m.whole == 0 {
			m.whole = b.time
		}
		if err := m.take(oldest, &b, !stable); err != nil {
			return fmt.Errorf("partition %d, offset %d: %w", oldest.index, b.BaseOffset, err)
		}
	}
}

// read reads some of a partition's batches.
func (m *warming) read(p *warmPart, stable bool) error {
	if start := p.Start(); start > p.next {
		p.next, p.lacks = start, true
	}
	found, err := p.Read(p.next, m.most, true, stable)
	if err != nil || len(found.Extents) == 0 {
		return err
	}
	p.aborted = p.Aborted(p.next)
	p.batches = p.batches[:0]
	for i := range found.Extents {
		if err := m.readExtent(p, found.Extents[i]); err != nil {
			return err
		}
		p.next = found.Extents[i].Last + 1
	}
	if p.lacks && len(p.at) > 0 {
		m.whole, p.lacks = max(m.whole, p.at[0].time), false
	}
	return nil
}

// readExtent reads the batches of an extent, and what stands before it.
func (m *warming) readExtent(p *warmPart, e partition.Extent) error {
	e.At, e.Length = e.At-partition.HeadSize, e.Length+partition.HeadSize
	all, err := m.ws.records.load([]partition.Extent{e})
	if err != nil {
		return err
	}
	head, b := all[:partition.HeadSize], all[partition.HeadSize:]
	for first := true; len(b) > 0; first = false {
		h, err := batch.ReadHeader(b)
		if err != nil {
			return err
		}
		if h.Size() > len(b) {
			return refuse(code.CorruptMessage, "a batch is cut off")
		}
		p.time = max(p.time, timeOf(head, &h, p.Number(), first, m.ws.files.clock.newest()))
		if h.LastOffset() >= p.next && !h.Attributes.Has(batch.Control) {
			p.at = append(p.at, warmBatch{h, b[:h.Size()], p.time})
		}
		b = b[h.Size():]
	}
	return nil
}

// timeOf is when a batch was appended. Where it stands as it was appended, that is
// before it; where it was moved to, its records' time has to do.
func timeOf(head []byte, h *batch.Header, number uint32, first bool, now int64) int64 {
	if first && binary.LittleEndian.Uint32(head) == number {
		if at := int64(binary.LittleEndian.Uint64(head[4:])); at > 0 && at <= now {
			return at
		}
	}
	return min(h.MaxTimestamp, now)
}

// take has the window take a batch. With pending, what is in open transactions is
// kept for their ends.
func (m *warming) take(p *warmPart, b *warmBatch, pending bool) error {
	if b.Attributes.Has(batch.Transactional) {
		if isAborted(p.aborted, b) {
			return nil
		}
		if pending && p.IsOpen(b.ProducerID, b.BaseOffset) {
			return nil // see readPending
		}
	}
	if keeps := m.t.rules.window.Window.Time; keeps > 0 && m.ws.files.clock.now().Sub(time.UnixMilli(b.time)) > keeps {
		return nil // its ids have left the window
	}
	ids := m.ws.readers.take()
	defer m.ws.readers.put(ids)
	if err := ids.Read(m.w.namer, p.index, b.b, m.ws.inflated); err != nil {
		return err
	}
	for i := range ids.Entries {
		ids.Entries[i].Offset += b.BaseOffset
	}
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if m.w.err != nil {
		return m.w.err
	}
	return m.w.take(b.time, ledger.Batch{Source: source(p.index), Entries: ids.Entries, Through: b.LastOffset()})
}

// isAborted tells whether a batch is of an aborted transaction.
func isAborted(aborted []partition.Aborted, b *warmBatch) bool {
	for _, a := range aborted {
		if a.Producer == b.ProducerID && a.First <= b.BaseOffset && b.BaseOffset < a.Last {
			return true
		}
	}
	return false
}

// finish takes the rest, and enforces the window from here on. Nobody is between
// the log's Begin and End.
func (m *warming) finish(ctx context.Context) error {
	t := m.ws.topics.byID(m.t.id)
	if t == nil || t.window != m.w {
		return nil
	}
	m.grow(t)
	if err := m.ws.files.follow(); err != nil {
		return err
	}
	if err := m.pass(ctx, false); err != nil {
		return err
	}
	if err := m.ws.readPending(m.t); err != nil {
		return err
	}
	if err := m.w.ledger.Sync(ctx); err != nil {
		return err
	}
	enforced := windowEnforced{id: m.t.id, window: windowState{number: m.w.number, enforced: true, whole: m.reaches()}}
	for _, p := range m.parts {
		enforced.window.since = append(enforced.window.since, p.next)
	}
	if _, err := m.ws.wal().Append(frameEnforced, enforced.encode()); err != nil {
		return err
	}
	m.w.since, m.w.whole = enforced.window.since, enforced.window.whole
	m.w.from.Store(m.ws.newest())
	m.w.durable.Store(m.w.steps)
	m.w.enforced.Store(true)
	return nil
}

// reaches is from when on the window has all ids: a topic may have lost its oldest
// records, and a compacted one any. If nothing was read, that is from now on.
func (m *warming) reaches() int64 {
	if m.whole == 0 || m.t.rules.compact || slices.ContainsFunc(m.parts, func(p *warmPart) bool { return p.lacks }) {
		return m.ws.files.clock.now().UnixMilli()
	}
	return max(m.whole, 0)
}

// warmEvery is how soon it is tried again to warm a window where it went wrong.
const warmEvery = 10 * time.Second

// runWarming warms windows as they are begun, until ctx ends.
func (ws *windows) runWarming(ctx context.Context) {
	again := time.NewTicker(warmEvery)
	defer again.Stop()
	for {
		ws.warm(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ws.begun:
		case <-again.C:
		}
	}
}

// warm warms the windows that are not enforced yet.
func (ws *windows) warm(ctx context.Context) {
	for _, t := range ws.topics.list() {
		if !t.window.works() || t.window.enforced.Load() {
			continue
		}
		err := newWarming(ws, t).run(ctx)
		switch {
		case err == nil:
			ws.files.log.Info("the window of a topic is enforced", "topic", t.name)
		case errors.Is(err, context.Canceled), errors.Is(err, errMoved):
		default:
			ws.files.log.Warn("the window of a topic is not enforced yet: it is tried again", "topic", t.name, "error", err)
		}
	}
}
