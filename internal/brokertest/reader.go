package brokertest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// entry is what a reader saw at an offset: a record or the end of a transaction.
type entry struct {
	offset        int64
	value         string
	line          line // of a record that is no seal
	producer      int64
	epoch         int16
	transactional bool
	control       bool // it ends the producer's transaction
	commit        bool // and that is how
}

// reader reads all partitions from the start to the seals.
type reader struct {
	*cast
	name      string
	committed bool
	saw       map[place][]entry
	next      map[place]int64
	last      map[place]map[string]line // by writer, or by its producer's epoch: see Broker.WithinEpoch
	sealed    map[place]bool
}

func (c *cast) reader(name string, committed bool) *reader {
	r := &reader{
		cast: c, name: name, committed: committed,
		saw: map[place][]entry{}, next: map[place]int64{}, last: map[place]map[string]line{}, sealed: map[place]bool{},
	}
	for _, p := range everywhere() {
		r.last[p] = map[string]line{}
	}
	return r
}

// mostFetched is less than a broker puts together of small batches, so that fetches
// begin and end in the middle of that.
const mostFetched = 16 << 10

// read returns when the seals are read, or something is wrong.
func (r *reader) read(ctx context.Context, address string) {
	level := kgo.ReadUncommitted()
	if r.committed {
		level = kgo.ReadCommitted()
	}
	from := map[string]map[int32]kgo.Offset{}
	for _, p := range everywhere() {
		if from[p.topic] == nil {
			from[p.topic] = map[int32]kgo.Offset{}
		}
		from[p.topic][p.partition] = kgo.NewOffset().At(0)
	}
	c, err := kgo.NewClient(r.options(address, kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(level),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.KeepControlRecords(), kgo.FetchMaxPartitionBytes(mostFetched))...)
	if err != nil {
		r.broken(err)
		return
	}
	defer c.Close()
	for len(r.sealed) < len(everywhere()) {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil && r.wrong() {
			return
		}
		if ctx.Err() != nil {
			r.find("what waits goes on", "reader %s comes to %v only: %v", r.name, r.next, ctx.Err())
			return
		}
		for _, e := range fetches.Errors() {
			if !r.passing(e.Err) {
				r.find("a reader gets what is there", "reader %s of %s/%d from %d on: %v", r.name, e.Topic, e.Partition, r.next[place{e.Topic, e.Partition}], e.Err)
				return
			}
		}
		fetches.EachRecord(r.see)
		if r.wrong() {
			return
		}
	}
}

// passing tells whether an error of a fetch comes from a broker that cannot be reached,
// or says that it goes by.
func (r *reader) passing(err error) bool {
	var lost *kgo.ErrDataLoss
	var early *kgo.ErrFirstReadEOF
	var broken net.Error
	var refused *kerr.Error
	switch {
	case errors.As(err, &lost):
		// The client takes an epoch's end for where the log was cut off, and forgets the
		// epoch of aborted records that it leaves out: what it shows of them is a loss.
		return lost.ResetTo >= r.next[place{lost.Topic, lost.Partition}]
	case errors.As(err, &refused):
		return refused.Retriable && !errors.Is(err, kerr.CorruptMessage)
	}
	return errors.As(err, &early) || errors.As(err, &broken) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
}

// The types of control records that end transactions, in their keys: 0 aborts.
const (
	commitEnd  = 1
	unknownEnd = 0xffff
)

// see demands that all comes in the order in which it was written.
func (r *reader) see(x *kgo.Record) {
	at := place{x.Topic, x.Partition}
	e := entry{offset: x.Offset, value: string(x.Value), producer: x.ProducerID, epoch: x.ProducerEpoch, transactional: x.Attrs.IsTransactional(), control: x.Attrs.IsControl()}
	if next := r.next[at]; x.Offset < next || !r.committed && at.topic != keyed && at.topic != once && x.Offset > next {
		r.find("a reader sees all offsets in their order", "reader %s of %v is at %d, and gets %d", r.name, at, next, x.Offset)
	}
	r.next[at] = x.Offset + 1
	switch {
	case e.control:
		end := uint16(unknownEnd)
		if len(x.Key) == 4 {
			end = binary.BigEndian.Uint16(x.Key[2:])
		}
		if at.topic == once && end > commitEnd {
			return // it takes readers past copies, until something is behind them
		}
		e.value, e.commit = "", end == commitEnd
	case e.value == seal:
		r.sealed[at] = true
	default:
		r.seeLine(at, &e, x.ProducerEpoch)
	}
	r.saw[at] = append(r.saw[at], e)
}

func (r *reader) seeLine(at place, e *entry, epoch int16) {
	l, err := lineOf(e.value)
	if err != nil {
		r.find("an offset holds what was written", "%v@%d holds %q", at, e.offset, e.value)
		return
	}
	e.line, e.value = l, "" // it is all that the value says
	who := l.writer
	if r.withinEpoch && plain(who) || at.topic == once {
		who = fmt.Sprint(who, e.producer, epoch)
	}
	switch was := r.last[at][who]; {
	case r.isGivenUp(l):
	case l.number < was.number || l.number == was.number && l.record <= was.record:
		r.find("a producer's records keep their order", "reader %s: %v@%d holds %q, after %q of the same producer", r.name, at, e.offset, l, was)
	default:
		r.last[at][who] = l
	}
	if r.committed {
		if why := r.mayShow(l); why != "" {
			r.find("what is read committed was committed", "reader %s: %v@%d shows %q: %s", r.name, at, e.offset, l, why)
		}
	}
}
