package broker

import (
	"context"
	"errors"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
)

// The times that mean an offset and no time.
const (
	latestOffset   = -1 // where the next record will be read
	earliestOffset = -2 // of the first record
	maxTimestamp   = -3 // of the record with the latest time (KIP-734)
	earliestLocal  = -4 // of the first record that is here and not in another store (KIP-405)
	latestTiered   = -5 // of the last one that is in another store: there is none
)

// ListOffsets (2), versions 1 to 10: offsets by time.
//
//	2  isolation: the latest offset a reader of committed records may read
//	4  leader epoch
//	6  flexible
//	7  the record with the latest time
func (c *conn) listOffsets(_ context.Context, req *kmsg.ListOffsetsRequest) answer {
	resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	for i := range req.Topics {
		asked := &req.Topics[i]
		t := c.b.topics.named(asked.Topic)
		done := kmsg.NewListOffsetsResponseTopic()
		done.Topic = strings.Clone(asked.Topic)
		for j := range asked.Partitions {
			a := &asked.Partitions[j]
			d := kmsg.NewListOffsetsResponseTopicPartition()
			d.Partition, d.Timestamp, d.Offset, d.LeaderEpoch = a.Partition, -1, -1, leaderEpoch
			p, err := partitionOf(t, a.Partition, false)
			if err == nil {
				for looks := 0; looks == 0 || errors.Is(err, errMoved) && looks < maxLooks; looks++ {
					d.Offset, d.Timestamp, err = c.b.records.offsetAt(p, a.Timestamp, req.IsolationLevel == 1)
				}
			}
			d.ErrorCode = int16(codeOf(err))
			done.Partitions = append(done.Partitions, d)
		}
		resp.Topics = append(resp.Topics, done)
	}
	return ready(resp)
}

// offsetAt is an offset by a time, and the time of the record there; -1 and -1 if
// there is none.
func (rs *records) offsetAt(p *partition.Partition, at int64, committed bool) (offset, time int64, err error) {
	switch at {
	case latestOffset:
		return p.Limit(committed), -1, nil
	case earliestOffset, earliestLocal:
		return p.Start(), -1, nil
	case latestTiered:
		return -1, -1, nil
	case maxTimestamp:
		e, ok := p.Latest(committed)
		if !ok {
			return -1, -1, nil
		}
		return rs.firstSince(e, e.MaxTime)
	}
	if at < 0 {
		return -1, -1, refuse(code.UnsupportedVersion, "no offset is meant by %d", at)
	}
	for from := p.Start(); ; {
		e, ok := p.Since(from, at, committed)
		if !ok {
			return -1, -1, nil
		}
		offset, time, err = rs.firstSince(e, at)
		if offset >= 0 || err != nil {
			return offset, time, err
		}
		from = e.Last + 1 // its header said more than its records do
	}
}

// firstSince is the first record of an extent at or after a time; -1 and -1 if there
// is none.
func (rs *records) firstSince(e partition.Extent, at int64) (offset, time int64, err error) {
	b, err := rs.load([]partition.Extent{e})
	if err != nil {
		return -1, -1, err
	}
	for len(b) > 0 {
		var one []byte
		if one, b, err = batch.Next(b); err != nil {
			return -1, -1, err
		}
		if offset, time, err = firstOf(one, at); offset >= 0 || err != nil {
			return offset, time, err
		}
	}
	return -1, -1, nil
}

// firstOf is firstSince for a batch.
func firstOf(b []byte, at int64) (offset, time int64, err error) {
	h, err := batch.ReadHeader(b)
	switch {
	case err != nil:
		return -1, -1, err
	case h.Count == 0 || h.Newest() < at:
		return -1, -1, nil
	case h.Attributes.Has(batch.AppendTime) && h.LastOffsetDelta == h.Count-1:
		return h.BaseOffset, h.MaxTimestamp, nil
	}
	var d batch.Decoder
	for r, err := range d.Records(b) {
		if err != nil {
			return -1, -1, err
		}
		t := h.BaseTimestamp + r.TimestampDelta
		if h.Attributes.Has(batch.AppendTime) {
			t = h.MaxTimestamp
		}
		if t >= at {
			return h.BaseOffset + int64(r.OffsetDelta), t, nil
		}
	}
	return -1, -1, nil
}
