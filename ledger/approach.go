package ledger

import "github.com/hapaxmq/hapax/window"

// stride is how many entries an approach takes at once: no more lines than a processor
// has on their way at a time.
const stride = 16

// approach is the entries of a batch that are about to be looked up, some strides of
// them: memory brings the buckets of the next while the verdicts on others are given.
type approach struct {
	keys  [4 * stride]window.Key
	spots [4 * stride]window.Spot
}

// group is the keys of the stride from one of so many entries on, and their spots;
// nothing if there is none.
func (w *approach) group(entries, at int) (keys []window.Key, spots []window.Spot) {
	if at < 0 || at >= entries {
		return nil, nil
	}
	from, n := at%len(w.keys), min(stride, entries-at)
	return w.keys[from : from+n], w.spots[from : from+n]
}

// buckets asks for the buckets of a stride.
func (w *approach) buckets(t *window.Table, entries []Entry, at int) {
	keys, spots := w.group(len(entries), at)
	for i := range keys {
		keys[i] = window.KeyOf(entries[at+i].Fingerprint)
		spots[i] = t.Spot(keys[i])
	}
	t.LoadBuckets(spots)
}

// ways asks for the buckets to which entries of theirs would move.
func (w *approach) ways(t *window.Table, entries []Entry, at int, live *window.Live) {
	keys, spots := w.group(len(entries), at)
	t.LoadWays(keys, spots, live)
}

// leaving asks for the buckets of what an exact count window lets go for the entries
// that come behind so many others.
func (w *approach) leaving(h *hot, behind int) {
	if h.recency == nil || int64(h.recency.Len()+behind+stride) < h.o.Window.Count {
		return
	}
	var spots [stride]window.Spot
	n := 0
	for f := range h.recency.Leaving(behind, stride) {
		spots[n] = h.table.Spot(window.KeyOf(f))
		n++
	}
	h.table.LoadBuckets(spots[:n])
}
