package broker

import (
	"errors"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/ledger"
)

// pair is a record that is in conflict, and the first one with its id.
type pair struct {
	*ledger.Entry
	was first
}

// compare gives records that say the same as the first ones, as JSON, their digests.
// The records are in a batch that was read and stands, or is to stand, at a place.
// It reads the disk, so no lock is to be held.
func (c *contents) compare(ids *unique.Reader, at unique.Place, pairs []pair) error {
	if len(pairs) == 0 {
		return nil
	}
	if err := c.ws.files.follow(); err != nil { // what is appended is to be read
		return err
	}
	values := make(map[int32][]byte)
	for s := ids.Records(); s.Next(); {
		values[s.Record.OffsetDelta] = s.Record.Value
	}
	for _, x := range pairs {
		value := values[int32(x.Offset-at.Offset)]
		if !unique.IsJSON(value) {
			continue
		}
		was, ok := values[int32(x.was.Offset-at.Offset)], true
		if x.was.Partition != at.Partition || x.was.Offset < at.Offset {
			var err error
			if was, ok, err = c.value(x.was.Place); err != nil {
				return err
			}
		}
		if ok && unique.SameContent(value, was) {
			x.Digest = x.was.digest
		}
	}
	return nil
}

// contents reads the values of single records of a topic.
type contents struct {
	ws      *windows
	topic   *topic
	decoder batch.Decoder
	at      partition.Extent
	bytes   []byte // of what was read last
}

// value is that of a record, if it is there still. It is good until the next call.
func (c *contents) value(at unique.Place) (value []byte, ok bool, err error) {
	if at.Offset < 0 || int(at.Partition) >= len(c.topic.partitions) {
		return nil, false, nil
	}
	for range maxLooks {
		found, err := c.topic.partitions[at.Partition].Read(at.Offset, 1, true, false)
		if errors.Is(err, code.OffsetOutOfRange) || err == nil && (len(found.Extents) == 0 || found.Extents[0].Base > at.Offset) {
			return nil, false, nil // it was deleted
		}
		if err != nil {
			return nil, false, err
		}
		if c.bytes == nil || c.at != found.Extents[0] {
			c.at = found.Extents[0]
			c.bytes, err = c.ws.records.load(found.Extents[:1])
		}
		if errors.Is(err, errMoved) {
			c.bytes = nil
			continue
		}
		if err != nil {
			return nil, false, err
		}
		return c.find(at.Offset)
	}
	return nil, false, nil
}

// find finds the record in what was read.
func (c *contents) find(offset int64) (value []byte, ok bool, err error) {
	for b := c.bytes; len(b) > 0; {
		one, rest, err := batch.Next(b)
		if err != nil {
			return nil, false, err
		}
		h, err := batch.ReadHeader(one)
		if err != nil {
			return nil, false, err
		}
		if b = rest; h.LastOffset() < offset {
			continue
		}
		for record, err := range c.decoder.Records(one) {
			if err != nil {
				return nil, false, err
			}
			if h.BaseOffset+int64(record.OffsetDelta) == offset {
				return record.Value, true, nil
			}
		}
		break
	}
	return nil, false, nil
}
