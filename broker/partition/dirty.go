package partition

// Lags say what compaction leaves alone for now.
type Lags struct {
	Least        int64 // ms for which it does: min.compaction.lag.ms
	SegmentBytes int64 // the newest bytes, unless they are older than
	SegmentMs    int64
}

// Dirty is what compaction finds to do in a partition.
type Dirty struct {
	Start      int64 // the first offset that is kept
	From       int64 // the first that was not compacted
	To         int64 // that it may be compacted up to
	CleanBytes int64 // below From
	DirtyBytes int64 // from there up to To
	Oldest     int64 // the time of the first of them, Unix ms
	FirstDirty bool  // there is one
}

// Dirty tells what there is to compact now, Unix ms. What may be is durable, and no
// transaction in it is open. The last batch is never touched, so that readers find
// the end.
func (p Old) Dirty(now int64, l Lags) (d Dirty) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit, left, n := p.limit(true), p.index.bytes, p.index.count
	d = Dirty{Start: p.start, From: max(p.clean, p.start), To: max(p.clean, p.start)}
	p.index.from(p.start, func(e Extent) bool {
		active := left <= l.SegmentBytes && e.MaxTime > now-l.SegmentMs
		left -= int64(e.Length)
		n--
		if e.Last < d.From {
			d.CleanBytes += int64(e.Length)
			return true
		}
		if n == 0 || e.Last >= limit || active || e.MaxTime > now-l.Least {
			return false
		}
		if !d.FirstDirty {
			d.FirstDirty, d.Oldest = true, e.MaxTime
		}
		d.DirtyBytes += int64(e.Length)
		d.To = e.Last + 1
		return true
	})
	return d
}

// Extents are the next ones from an offset on, up to another: so many bytes, at
// least one.
func (p Old) Extents(offset, to, bytes int64) (extents []Extent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index.from(offset, func(e Extent) bool {
		if bytes -= int64(e.Length); e.Last >= to || bytes < 0 && len(extents) > 0 {
			return false
		}
		extents = append(extents, e)
		return true
	})
	return extents
}

// AbortedBelow are the transactions that were aborted and begin below an offset.
func (p Old) AbortedBelow(offset int64) []Aborted {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.aborted.between(0, offset)
}
