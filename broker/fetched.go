package broker

import (
	"encoding/binary"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
)

// fetched is the answer to a Fetch. It is encoded here and not by package kmsg, for
// the batches are not in memory: they go from the log's files to the connection.
type fetched struct {
	version int16
	err     code.Error
	topics  []fetchedTopic
	open    openFiles // that the batches are in
	bytes   int       // of the batches
}

type fetchedTopic struct {
	name       string
	id         [16]byte
	partitions []fetchedPartition
}

type fetchedPartition struct {
	number int32
	err    code.Error
	partition.Reading
	past int64 // without extents: the offset behind gaps that there is nothing behind; 0: there are none
}

// size is the bytes of the batches.
func (p *fetchedPartition) size() (n int) {
	for i := range p.Extents {
		n += int(p.Extents[i].Length)
	}
	return n
}

// gap is where batches stand between encoded bytes.
type gap struct {
	at      int // of the encoded bytes before them
	extents []partition.Extent
}

// append encodes the response behind its size, but for the batches, and tells where
// those belong. The layout is FetchResponse's, versions 4 to 18.
func (f *fetched) append(b []byte, correlation int32) ([]byte, []gap) {
	start := len(b)
	e := encoder{b: append(b, 0, 0, 0, 0), flexible: f.version >= 12}
	e.int32(correlation)
	e.tags() // of the header
	e.int32(0)
	if f.version >= 7 {
		e.int16(int16(f.err))
		e.int32(0) // session
	}
	var gaps []gap
	total := 0
	e.length(len(f.topics))
	for i := range f.topics {
		t := &f.topics[i]
		if f.version >= 13 {
			e.b = append(e.b, t.id[:]...)
		} else {
			e.string(t.name)
		}
		e.length(len(t.partitions))
		for j := range t.partitions {
			p := &t.partitions[j]
			f.partition(&e, p)
			if size := p.size(); size > 0 {
				gaps = append(gaps, gap{len(e.b), p.Extents})
				total += size
			}
			e.tags()
		}
		e.tags()
	}
	e.tags()
	f.bytes = total
	binary.BigEndian.PutUint32(e.b[start:], uint32(len(e.b)-start-4+total))
	return e.b, gaps
}

// partition encodes a partition up to its batches.
func (f *fetched) partition(e *encoder, p *fetchedPartition) {
	e.int32(p.number)
	e.int16(int16(p.err))
	e.int64(p.High)
	e.int64(p.Stable)
	if f.version >= 5 {
		e.int64(p.Start)
	}
	e.length(len(p.Aborted))
	for _, a := range p.Aborted {
		e.int64(a.Producer)
		e.int64(a.First)
		e.tags()
	}
	if f.version >= 11 {
		e.int32(-1) // no replica is preferred
	}
	if p.past > 0 {
		e.bytes(batch.MarkerSize)
		e.b = batch.AppendPassed(e.b, p.past-1, leaderEpoch)
		return
	}
	e.bytes(p.size()) // never null, which means corrupt to librdkafka
}

// encoder appends what Kafka's protocol is made of, in its compact form in flexible
// versions (KIP-482).
type encoder struct {
	b        []byte
	flexible bool
}

func (e *encoder) int16(v int16) { e.b = binary.BigEndian.AppendUint16(e.b, uint16(v)) }
func (e *encoder) int32(v int32) { e.b = binary.BigEndian.AppendUint32(e.b, uint32(v)) }
func (e *encoder) int64(v int64) { e.b = binary.BigEndian.AppendUint64(e.b, uint64(v)) }

// length begins an array.
func (e *encoder) length(n int) { e.bytes(n) }

// bytes begins so many bytes.
func (e *encoder) bytes(n int) {
	if e.flexible {
		e.b = binary.AppendUvarint(e.b, uint64(n)+1)
	} else {
		e.int32(int32(n))
	}
}

func (e *encoder) string(s string) {
	if e.flexible {
		e.bytes(len(s))
	} else {
		e.int16(int16(len(s)))
	}
	e.b = append(e.b, s...)
}

// tags ends a structure, which has none.
func (e *encoder) tags() {
	if e.flexible {
		e.b = append(e.b, 0)
	}
}
