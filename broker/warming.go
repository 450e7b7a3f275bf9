package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/unique"
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
	open  int   // ids of transactions that were open when they were read
	whole int64 // the time from which on it has all ids, Unix ms; 0: nothing was read
}

// warmPart is a partition as it is read.
type warmPart struct {
	partition.Old
	index int32
	next  int64 // the offset to go on from

	followed int64 // up to which the window has all but what was in open transactions

	at    []warmBatch
	open  []warmOpen // of transactions that were open when they were read
	time  int64      // of the last batch, Unix ms
	lacks bool       // records before those that are read next
}

// warmBatch is a batch that was read.
type warmBatch struct {
	batch.Header
	b    []byte
	time int64 // when it was appended, Unix ms
}

// warmOpen is a batch of a transaction that was open when it was read.
type warmOpen struct {
	warmBatch // without its bytes
	entries   []ledger.Entry
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
		followed := m.w.followed(int32(i))
		next := max(followed, 0)
		if since := m.w.since(); i < len(since) { // it warms again
			next = min(next, since[i])
		}
		m.parts = append(m.parts, &warmPart{Old: partition.Old{Partition: p}, index: int32(i), next: next, followed: followed, lacks: p.Start() > 0})
	}
	m.t = t
}

// run warms the window, and enforces it unless ctx ends or the window does.
func (m *warming) run(ctx context.Context) error {
	for pass := 0; pass < warmPasses && m.left() > warmRest; pass++ {
		if err := m.pass(ctx); err != nil {
			return err
		}
		if err := m.settle(false); err != nil {
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
		n += p.Limit(false) - p.next
	}
	return n
}

// pass takes what there is, the oldest first.
func (m *warming) pass(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var oldest *warmPart
		for _, p := range m.parts {
			if len(p.at) == 0 {
				if err := m.read(p); err != nil {
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
		if err := m.take(oldest, &b); err != nil {
			return fmt.Errorf("partition %d, offset %d: %w", oldest.index, b.BaseOffset, err)
		}
	}
}

// read reads some of a partition's batches.
func (m *warming) read(p *warmPart) error {
	start := p.Start()
	p.lacks = p.lacks || start > p.next
	found := p.Extents(p.next, p.Limit(false), int64(m.most)) // of open transactions deleted ones too
	if len(found) == 0 {
		p.next = max(p.next, start)
	}
	for i := range found {
		if err := m.readExtent(p, found[i]); err != nil {
			return err
		}
		p.next = found[i].Last + 1
	}
	if p.lacks && len(p.at) > 0 {
		m.whole, p.lacks = max(m.whole, p.at[0].time), false
	}
	return nil
}

// readExtent reads the batches of an extent, and when they were appended.
func (m *warming) readExtent(p *warmPart, e partition.Extent) error {
	b, times, err := m.ws.records.timed(e, p.Number())
	if err != nil {
		return err
	}
	return eachBatch(b, func(one []byte) error {
		at := times.Next()
		h, err := batch.ReadHeader(one)
		if err != nil || h.Attributes.Has(batch.Control) { // whose time the log does not tell
			return err
		}
		if p.time = max(p.time, at); h.LastOffset() >= p.next {
			p.at = append(p.at, warmBatch{h, one, p.time})
		}
		return nil
	})
}

// take has the window take a batch, unless it is of a transaction that is open or
// was aborted.
func (m *warming) take(p *warmPart, b *warmBatch) error {
	transactional := b.Attributes.Has(batch.Transactional)
	open := transactional && p.IsOpen(b.ProducerID, b.BaseOffset)
	if transactional && !open && p.isAborted(b) || !transactional && b.LastOffset() <= p.followed {
		return nil
	}
	ids := m.ws.readers.take()
	defer m.ws.readers.put(ids)
	if err := ids.Read(m.w.namer, p.index, b.b, m.ws.inflated); err != nil {
		return err
	}
	ids.Shift(b.BaseOffset)
	if !open {
		return m.admit(p, b, ids.Entries)
	}
	if m.open += len(ids.Entries); m.open > mostOpenIDs {
		return refuse(code.TransactionAbortable, "the topic's open transactions have more than %d ids: it goes on when they have ended", mostOpenIDs)
	}
	p.open = append(p.open, warmOpen{warmBatch{Header: b.Header, time: b.time}, slices.Clone(ids.Entries)})
	return nil
}

// admit has the window take the ids of a batch. It has followed the partition only
// as far as no transaction is open, to go on from there after a crash.
func (m *warming) admit(p *warmPart, b *warmBatch, entries []ledger.Entry) error {
	if keeps := m.t.rules.window.Window.Time; keeps > 0 && m.ws.files.clock.now().Sub(time.UnixMilli(b.time)) > keeps {
		return nil // its ids have left the window
	}
	through := b.LastOffset()
	if len(p.open) > 0 {
		through = max(min(through, p.open[0].BaseOffset-1), 0)
	}
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if m.w.err != nil {
		return m.w.err
	}
	return m.w.take(b.time, ledger.Batch{Source: source(p.index), Entries: entries, Through: through})
}

// settle has the window take what was open when it was read and is committed by
// now. With last, what is open still is kept for its end.
func (m *warming) settle(last bool) error {
	for _, p := range m.parts {
		open := p.open
		p.open = nil
		for _, o := range open {
			switch {
			case p.IsOpen(o.ProducerID, o.BaseOffset):
				if p.open = append(p.open, o); last {
					m.ws.pending.add(o.ProducerID, p.Number(), m.w, p.index, o.entries)
				}
				continue
			case !p.isAborted(&o.warmBatch):
				if err := m.admit(p, &o.warmBatch, o.entries); err != nil {
					return err
				}
			}
			m.open -= len(o.entries)
		}
	}
	return nil
}

// isAborted tells whether a batch is of an aborted transaction.
func (p *warmPart) isAborted(b *warmBatch) bool {
	return slices.ContainsFunc(p.Aborted(b.BaseOffset), func(a partition.Aborted) bool {
		return a.Producer == b.ProducerID && a.First <= b.BaseOffset && b.BaseOffset < a.Last
	})
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
	if err := m.pass(ctx); err != nil {
		return err
	}
	m.ws.pending.forget(m.w)
	if err := m.settle(true); err != nil {
		return err
	}
	if err := m.w.ledger.Sync(ctx); err != nil {
		return err
	}
	enforced := windowEnforced{id: m.t.id, window: m.w.state()}
	enforced.window.enforced, enforced.window.whole, enforced.window.since = true, m.reaches(), nil
	for _, p := range m.parts {
		enforced.window.since = append(enforced.window.since, p.next)
	}
	if _, err := m.ws.wal().Append(frameEnforced, enforced.encode()); err != nil {
		return err
	}
	m.w.whole = enforced.window.whole
	m.w.froms.Store(&enforced.window.since)
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
		t.window.full.Store(errors.Is(err, hapax.ErrFull))
		ws.files.warmed(t, err)
	}
}

// warmed tells how the warming of a topic's window ended. Nothing is wrong with one that
// is over, or that has been opened with other settings: it goes on as what it is now.
func (in windowFiles) warmed(t *topic, err error) {
	switch {
	case err == nil:
		in.log.Info("the window of a topic is enforced", "topic", t.name)
	case errors.Is(err, context.Canceled), errors.Is(err, errMoved),
		errors.Is(err, errWindowOver), errors.Is(err, errWindowReopens), errors.Is(err, hapax.ErrClosed):
	case errors.Is(err, hapax.ErrFull): // in the words of the ledger's options
		in.log.Warn("the window of a topic is full before it is warm: records pass, and it is tried again; "+relief(t.rules.window),
			"topic", t.name, unique.SettingWindowFull, fullText(t.rules.window))
	default:
		in.log.Warn("the window of a topic is not enforced yet: it is tried again", "topic", t.name, "error", err)
	}
}
