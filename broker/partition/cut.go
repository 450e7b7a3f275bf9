package partition

import (
	"encoding/binary"
	"fmt"

	"github.com/hapaxmq/hapax/broker/code"
)

// FrameCut is the kind of the log's frames that let a partition's first records go:
//
//	18 cut  4 partition number · v the first offset that is kept
const FrameCut = 18

// Cut lets the records below an offset go, -1 being the high watermark. It returns
// the first offset that is kept, which is durable when the log is synced to logEnd;
// 0: nothing was appended, for they were gone. It is called between Begin and End.
func (p *Partition) Cut(offset int64) (start, logEnd int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle()
	if offset == -1 {
		offset = p.high
	}
	switch {
	case p.dropped:
		return 0, 0, fmt.Errorf("delete records: %w", code.UnknownTopicOrPartition)
	case offset < 0 || offset > p.high:
		return 0, 0, fmt.Errorf("delete records: offset %d is not from 0 to %d: %w", offset, p.high, code.OffsetOutOfRange)
	case offset <= p.start:
		return p.start, 0, nil
	}
	payload := binary.LittleEndian.AppendUint32(nil, p.number)
	at, err := p.log.Append(FrameCut, binary.AppendUvarint(payload, uint64(offset)))
	if err != nil {
		return 0, 0, err
	}
	p.cut(offset)
	return p.start, at.End, nil
}

// cut takes over that the records below start are gone. It must hold mu.
func (p *Partition) cut(start int64) {
	p.start = start
	trim(p)
	p.aborted.trim(start)
}

// trim lets the batches go that are deleted. Nobody reads these, but those of a
// transaction that is open stay where they are until it ends: its ids are read from
// them when the node is opened. It must hold mu.
func trim(p *Partition) {
	first := p.start
	if open, ok := p.producers.FirstOpen(); ok {
		first = min(first, open)
	}
	p.index.trim(first)
}

// Cut takes over that records are gone. rest is the payload behind the number.
func (p Replay) Cut(rest []byte) error {
	start, n := binary.Uvarint(rest)
	if n <= 0 || n < len(rest) || start > uint64(p.end) {
		return corrupt(p.number, "its first records are cut off nowhere")
	}
	if int64(start) > p.start {
		p.cut(int64(start))
	}
	return nil
}

// Expired is the first offset to keep if batches go whose records are all from
// before a time, Unix ms, and the oldest ones while the others take so many bytes;
// with -1 none go for that. Only what lies below the last stable offset goes, and a
// batch without a time no sooner than one behind it.
func (p *Partition) Expired(before, bytes int64) (keep int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit, left := p.limit(true), p.index.bytes
	keep = p.start
	p.index.from(p.start, func(e Extent) bool {
		left -= int64(e.Length)
		tooMany := bytes >= 0 && left >= bytes
		if e.Last >= limit || e.MaxTime >= before && !tooMany {
			return false
		}
		if e.MaxTime >= 0 || tooMany {
			keep = e.Last + 1
		}
		return true
	})
	return keep
}
