package broker

import (
	"fmt"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/partition"
)

// readPending reads the ids of the transactions that are open in a topic with a
// window.
func (ws *windows) readPending(t *topic) error {
	ws.pending.forget(t.window)
	for index, p := range t.partitions {
		for _, from := range p.Producers() {
			if from.FirstOffset == batch.None {
				continue
			}
			if err := ws.readPendingOf(t.window, int32(index), p, from.ID, from.FirstOffset); err != nil {
				return fmt.Errorf("topic %q, partition %d: %w", t.name, index, err)
			}
		}
	}
	return nil
}

// readPendingOf reads those of one producer, from an offset of a partition on.
func (ws *windows) readPendingOf(w *window, index int32, p *partition.Partition, producer, offset int64) error {
	ids := ws.readers.take()
	defer ws.readers.put(ids)
	for {
		found, err := p.Read(max(offset, p.Start()), 1, true, false)
		if err != nil || len(found.Extents) == 0 {
			return err
		}
		at := found.Extents[0]
		b, err := ws.records.load(found.Extents[:1])
		if err != nil {
			return err
		}
		for len(b) > 0 {
			h, err := batch.ReadHeader(b)
			if err != nil {
				return err
			}
			if h.ProducerID == producer && h.Attributes.Has(batch.Transactional) && !h.Attributes.Has(batch.Control) && h.BaseOffset >= offset {
				if err := ids.Read(w.namer, index, b[:h.Size()], ws.inflated); err != nil {
					return err
				}
				for i := range ids.Entries {
					ids.Entries[i].Offset += h.BaseOffset
				}
				ws.pending.add(producer, p.Number(), w, index, ids.Entries)
			}
			b = b[h.Size():]
		}
		offset = at.Last + 1
	}
}
