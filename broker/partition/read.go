package partition

import (
	"fmt"

	"github.com/hapaxmq/hapax/broker/code"
)

// Reading is what may be read from an offset on.
type Reading struct {
	Start   int64 // the first offset that is kept
	High    int64 // the high watermark
	Stable  int64 // the last stable offset
	Extents []Extent
	Aborted []Aborted // in the order of their first offsets
}

// limit is how far a reader may read. It must hold mu.
func (p *Partition) limit(committed bool) int64 {
	p.settle()
	if committed {
		return p.stable()
	}
	return p.high
}

// stable is the last stable offset: no transaction below it is open. It must hold
// mu, after settle.
func (p *Partition) stable() int64 {
	if first, ok := p.producers.FirstUnstable(p.log.synced()); ok {
		return min(max(first, p.start), p.high)
	}
	return p.high
}

// Available is how many bytes there are to read from an offset on, or enough of
// them.
func (p *Partition) Available(offset int64, enough int, committed bool) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.limit(committed)
	if err := p.check(offset); err != nil {
		return 0, err
	}
	p.index.from(offset, func(e Extent) bool {
		if e.Last >= limit {
			return false
		}
		n += int(e.Length)
		return n < enough
	})
	return n, nil
}

// Read finds what there is from an offset on, up to most bytes; with first, one
// extent whatever its size (KIP-74), and a run that is the first in any case. Of the
// extent that holds the offset all batches are among it.
func (p *Partition) Read(offset int64, most int, first, committed bool) (r Reading, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.limit(committed)
	r = Reading{Start: p.start, High: p.high, Stable: p.stable()}
	if err := p.check(offset); err != nil {
		return r, err
	}
	p.index.from(offset, func(e Extent) bool {
		if e.Last >= limit || int(e.Length) > most && (len(r.Extents) > 0 || !first && !e.Run) {
			return false
		}
		r.Extents = append(r.Extents, e)
		most -= int(e.Length)
		return most > 0
	})
	if n := len(r.Extents); committed && n > 0 {
		r.Aborted = p.aborted.between(offset, r.Extents[n-1].Last+1)
	}
	return r, nil
}

// check refuses offsets that are not between the first that is kept and the next.
// It must hold mu.
func (p *Partition) check(offset int64) error {
	switch {
	case p.dropped:
		return fmt.Errorf("read: %w", code.UnknownTopicOrPartition)
	case offset < p.start || offset > p.end:
		return fmt.Errorf("read: offset %d is not from %d to %d: %w", offset, p.start, p.end, code.OffsetOutOfRange)
	}
	return nil
}

// Start is the first offset that is kept.
func (p *Partition) Start() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.start
}

// Bytes is how much room the partition's batches take in the log.
func (p *Partition) Bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.index.bytes
}

// Limit is the offset up to which a reader may read: the high watermark, or for one
// of committed records the last stable offset.
func (p *Partition) Limit(committed bool) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit(committed)
}

// Since is the first extent from an offset on with a record at or after a time, Unix
// ms, of those that may be read.
func (p *Partition) Since(offset, time int64, committed bool) (e Extent, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok = p.index.since(offset, time)
	return e, ok && e.Last < p.limit(committed)
}

// Latest is the first extent with a record of the latest time of all that may be
// read.
func (p *Partition) Latest(committed bool) (e Extent, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.limit(committed)
	for _, b := range p.index.blocks {
		if ok && b.maxTime <= e.MaxTime {
			continue
		}
		for i := range b.entries {
			other := b.extent(i)
			if other.Last < p.start {
				continue
			}
			if other.Last >= limit {
				return e, ok
			}
			if !ok || other.MaxTime > e.MaxTime {
				e, ok = other, true
			}
		}
	}
	return e, ok
}
