package broker

import (
	"fmt"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/internal/wal"
	"github.com/hapaxmq/hapax/ledger"
)

// catchUp brings the windows of a node that is being opened to where its log is. A
// ledger's own log says how far it has followed each partition.
type catchUp struct {
	windows *windows

	of    map[uint32]behind         // by partition
	ended map[uint32][]ledger.Entry // of a transaction that is about to end
	at    int64                     // when
	ids   unique.Reader
}

// behind is a partition whose topic has a window.
type behind struct {
	t     *topic
	w     *window
	index int32 // of the partition
	to    int64 // the last offset that the window has followed
}

func (c *catchUp) run() error {
	c.of, c.ended = make(map[uint32]behind), make(map[uint32][]ledger.Entry)
	first := c.windows.newest() + 1
	for _, t := range c.windows.topics.list() {
		if !t.window.enforces() {
			continue // it goes on warming
		}
		first = min(first, t.window.from.Load())
		for i, p := range t.partitions {
			c.of[p.Number()] = behind{t: t, w: t.window, index: int32(i), to: t.window.followed(int32(i))}
		}
	}
	if len(c.of) == 0 {
		return nil
	}
	return wal.Walk(c.windows.wal(), first, c.frame)
}

func (c *catchUp) frame(f wal.Frame) error {
	switch f.Kind {
	case frameEnded:
		return c.end(f)
	case partition.FrameTogether:
		return c.together(f)
	case frameBatch, partition.FrameIDs:
	default:
		return nil
	}
	number, rest, err := partition.NumberOf(f.Payload)
	if err != nil {
		return err
	}
	p, ok := c.of[number]
	if !ok || f.File < p.w.from.Load() {
		return nil
	}
	now, rest, err := partition.TimeOf(rest)
	if err != nil {
		return err
	}
	if f.Kind == partition.FrameIDs {
		before, ids, err := readIDs(rest)
		if before == 0 {
			clear(c.ended) // of an end that did not come
		}
		c.at, c.ended[number] = now, append(c.ended[number], ids...)
		return err
	}
	return c.batch(number, p, now, rest, nil)
}

// together has windows take batches that were appended as one.
func (c *catchUp) together(f wal.Frame) error {
	all, err := partition.ReadTogether(f.Payload)
	for _, one := range all {
		p, ok := c.of[one.Number]
		if err != nil || !ok || f.File < p.w.from.Load() {
			continue
		}
		err = c.batch(one.Number, p, one.Time, one.Batch, copiesOf(one.Copies))
	}
	return err
}

// copiesOf are the ids that came with a batch.
func copiesOf(b []byte) (all []hapax.Fingerprint) {
	for ; len(b) >= len(hapax.Fingerprint{}); b = b[len(hapax.Fingerprint{}):] {
		all = append(all, hapax.Fingerprint(b))
	}
	return all
}

// batch has a window take a batch as it did, or would have done, when it was
// appended.
func (c *catchUp) batch(number uint32, p behind, now int64, b []byte, copies []hapax.Fingerprint) error {
	h, err := batch.ReadHeader(b)
	if err != nil {
		return err
	}
	last := h.LastOffset()
	if last <= p.to || h.Attributes.Has(batch.Control) {
		return nil
	}
	var entries []ledger.Entry
	if h.Attributes.Has(batch.Transactional) { // its ids come with its end
		for _, id := range copies {
			entries = append(entries, ledger.Entry{Fingerprint: id, Offset: last})
		}
	} else {
		if err := c.ids.Read(p.w.namer, p.index, b, 0); err != nil {
			c.windows.failed(p.t, fmt.Errorf("partition %d, offset %d: %w", p.index, h.BaseOffset, err))
			return nil
		}
		c.ids.Entries = c.inOrder(h.LastOffsetDelta, copies)
		c.ids.Shift(h.BaseOffset)
		entries = c.ids.Entries
	}
	c.take(number, p, now, ledger.Batch{Entries: entries, Through: last})
	return nil
}

// inOrder are the entries of the batch that was read, by their deltas, with those of
// copies where no record stands: there is one for each of these, or what stands for a
// record in conflict. Behind them are the ids of records that stand, with a mark, for
// they say the same as the first ones in other bytes. Copies have no digest, and so
// are in conflict with nothing.
func (c *catchUp) inOrder(last int32, copies []hapax.Fingerprint) (all []ledger.Entry) {
	if len(copies) == 0 {
		return c.ids.Entries
	}
	records, missing := c.ids.Entries, c.ids.Missing
	gaps := min(max(int(last)+1-len(records)-len(missing), 0), len(copies))
	c.undigest(copies[gaps:])
	copies = copies[:gaps]
	for delta := int32(0); delta <= last && len(copies) > 0; delta++ {
		switch {
		case len(records) > 0 && records[0].Offset == int64(delta):
			all, records = append(all, records[0]), records[1:]
		case len(missing) > 0 && missing[0].Delta == delta:
			missing = missing[1:]
		default:
			if copies[0] != inConflict {
				all = append(all, ledger.Entry{Fingerprint: copies[0], Offset: int64(delta)})
			}
			copies = copies[1:]
		}
	}
	return append(all, records...)
}

// undigest takes the digests off the records with a copy's mark that have some ids.
func (c *catchUp) undigest(ids []hapax.Fingerprint) {
	left := c.ids.Entries
	for scan := c.ids.Records(); len(ids) > 0 && len(left) > 0 && scan.Next(); {
		if int64(scan.Record.OffsetDelta) != left[0].Offset {
			continue
		}
		if _, marked := unique.Marked(scan.Record.Headers); marked && left[0].Fingerprint == ids[0] {
			left[0].Digest, ids = 0, ids[1:]
		}
		left = left[1:]
	}
}

// take has a partition's window take what the log has already.
func (c *catchUp) take(number uint32, p behind, now int64, b ledger.Batch) {
	if !p.w.works() {
		return
	}
	b.Source, p.to = source(p.index), b.Through
	c.of[number] = p
	if err := p.w.take(now, b); err != nil {
		c.windows.failed(p.t, err)
	}
}

// end has windows take the ids of a transaction that has ended.
func (c *catchUp) end(f wal.Frame) error {
	if len(c.ended) == 0 {
		return nil
	}
	defer clear(c.ended)
	event, _, err := readEnded(f)
	if err != nil || !event.End.Commit {
		return err
	}
	for _, m := range event.End.Markers {
		ids, ok := c.ended[m.Partition]
		if p := c.of[m.Partition]; ok && m.Offset > p.to {
			c.take(m.Partition, p, c.at, ledger.Batch{Entries: ids, Through: m.Offset})
		}
	}
	return nil
}

// take has the window take what the log has already.
func (w *window) take(now int64, b ledger.Batch) error {
	w.reached.Store(max(w.reached.Load(), now*int64(time.Millisecond)))
	step, err := w.ledger.Begin(time.UnixMilli(now), &b)
	if err != nil {
		return err
	}
	if err := step.Admit(); err != nil {
		step.Fail(err)
		return err
	}
	w.steps++
	return step.End()
}
