package broker

import (
	"fmt"
	"math"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/ledger"
)

// readPending reads the ids of the transactions that are open in a topic with a
// window. Copies that were marked are none of theirs: those are read when all others
// are known.
func (ws *windows) readPending(t *topic) error {
	ws.pending.forget(t.window)
	r := pendingReader{ws: ws, t: t, ids: ws.readers.take()}
	defer ws.readers.put(r.ids)
	for _, r.marked = range []bool{false, true} {
		for index, p := range t.partitions {
			if err := r.read(int32(index), partition.Old{Partition: p}); err != nil {
				return fmt.Errorf("read the ids of open transactions: topic %q, partition %d: %w", t.name, index, err)
			}
		}
		if !r.more {
			return nil
		}
	}
	ws.pending.inOrder(t.window)
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
			}
		}
	}
}

// pendingReader reads the ids of open transactions.
type pendingReader struct {
	ws     *windows
	t      *topic
	ids    *unique.Reader // of a batch
	marked bool           // those of records with a copy's mark, and of no others
	more   bool           // there are such records
}

// read reads those of a partition, from the first that is open on.
func (r *pendingReader) read(index int32, p partition.Old) error {
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
	for {
		found := p.Extents(next, p.Limit(false), 1) // deleted or not
		if len(found) == 0 {
			return nil
		}
		b, err := r.ws.records.load(found)
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
			return r.batch(index, p, one, &h)
		})
		if err != nil {
			return err
		}
		next = found[0].Last + 1
	}
}

// batch reads those of a batch.
func (r *pendingReader) batch(index int32, p partition.Old, b []byte, h *batch.Header) error {
	if err := r.ids.Read(r.t.window.namer, index, b, r.ws.inflated); err != nil {
		return err
	}
	var marked []string // by entry: what a copy's mark names; "" without one
	left := r.ids.Entries
	for scan := r.ids.Records(); scan.Next() && len(left) > 0; {
		if int64(scan.Record.OffsetDelta) == left[0].Offset {
			names, _ := unique.Marked(scan.Record.Headers)
			marked, left = append(marked, names), left[1:]
		}
	}
	r.ids.Shift(h.BaseOffset)
	own, err := r.notMarked(h.ProducerID, marked)
	if err == nil {
		r.ws.pending.add(h.ProducerID, p.Number(), r.t.window, index, own)
	}
	return err
}

// notMarked are the entries that the transaction is to be asked about when it ends:
// all but the copies, whose mark names the record that was there first. Others may
// have such a mark from their producer.
func (r *pendingReader) notMarked(producer int64, marked []string) (own []ledger.Entry, err error) {
	was, had := make(firsts), r.ws.pending.known(producer, r.t.window)
	var ids []hapax.Fingerprint
	for i := range marked {
		r.more = r.more || marked[i] != ""
		if r.marked && marked[i] != "" {
			ids = append(ids, r.ids.Entries[i].Fingerprint)
		}
	}
	if err := r.t.window.lookUp(was, ids, r.t.rules.window.Window.Kind); err != nil {
		return nil, err
	}
	names := func(f firsts, e *ledger.Entry, place string) bool {
		first, ok := f[e.Fingerprint]
		return ok && first.String() == place
	}
	for i := range marked {
		e := &r.ids.Entries[i]
		if r.marked == (marked[i] != "") && !names(was, e, marked[i]) && !names(had, e, marked[i]) {
			own = append(own, *e)
		}
	}
	return own, nil
}
