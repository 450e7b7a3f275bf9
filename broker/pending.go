package broker

import (
	"fmt"
	"math"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/partition"
)

// readPending reads the ids of the transactions that are open in a topic with a
// window.
func (ws *windows) readPending(t *topic) error {
	ws.pending.forget(t.window)
	for index, p := range t.partitions {
		if err := ws.readPendingOf(t.window, int32(index), partition.Old{Partition: p}); err != nil {
			return fmt.Errorf("topic %q, partition %d: %w", t.name, index, err)
		}
	}
	return nil
}

// lackPending notes the transactions that are open in a topic whose window cannot be
// opened. They cannot commit: their ids would be forgotten.
func lackPending(open *openIDs, t *topic) {
	open.forget(t.window)
	for index, p := range t.partitions {
		for _, from := range p.Producers() {
			if from.FirstOffset != batch.None {
				open.add(from.ID, p.Number(), t.window, int32(index), nil)
				open.of[from.ID].parts[p.Number()].lacks = true
			}
		}
	}
}

// readPendingOf reads those of a partition, from the first that is open on.
func (ws *windows) readPendingOf(w *window, index int32, p partition.Old) error {
	open := make(map[int64]int64) // where producers' open transactions begin
	next := int64(math.MaxInt64)
	for _, from := range p.Producers() {
		if from.FirstOffset != batch.None {
			open[from.ID] = from.FirstOffset
			next = min(next, from.FirstOffset)
		}
	}
	if len(open) == 0 {
		return nil
	}
	ids := ws.readers.take()
	defer ws.readers.put(ids)
	for {
		found := p.Extents(next, p.Limit(false), 1) // deleted or not
		if len(found) == 0 {
			return nil
		}
		b, err := ws.records.load(found)
		if err != nil {
			return err
		}
		err = eachBatch(b, func(one []byte) error {
			h, err := batch.ReadHeader(one)
			if err != nil {
				return err
			}
			first, ok := open[h.ProducerID]
			if !ok || h.BaseOffset < first || !h.Attributes.Has(batch.Transactional) || h.Attributes.Has(batch.Control) {
				return nil
			}
			if err := ids.Read(w.namer, index, one, ws.inflated); err != nil {
				return err
			}
			ids.Shift(h.BaseOffset)
			ws.pending.add(h.ProducerID, p.Number(), w, index, ids.Entries)
			return nil
		})
		if err != nil {
			return err
		}
		next = found[0].Last + 1
	}
}
