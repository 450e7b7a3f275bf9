package broker

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"

	"github.com/hapaxmq/hapax"
)

// The frames of a node's log. Numbers are little endian; v is a varint as in
// package encoding/binary, s a string behind its length.
//
//	1 batch          4 partition · 8 append time, Unix ms · the batch as its producer sent it, but for base offset and leader epoch
//	2 topic made     16 id · s name · v runs · runs × (v first partition's number · v partitions) · settings · window
//	3 topic dropped  16 id
//	6 transaction    an event, as package txn has it
//	7 group          an event, as package group has it
//	9 ended          v length · an event that ends a transaction, as package txn has it · the control batches of its markers
//	                 that have an offset, in their order · batches × (4 partition · 8 append time, Unix ms · the batch), each in the place of
//	                 the one with its offset, which was appended then, or, at its partition's end, a new one
//	16 configured    16 id · settings · window, that begins with them, if one does
//	17 grown         16 id · v first new partition's number · v new partitions
//	32 user          s name · v mechanisms · mechanisms × (1 mechanism, as Kafka numbers SCRAM's · v iterations; if 0, it is
//	                 taken away; else s salt · s stored key · s server key, as RFC 5802 has them)
//
// Settings are v settings · settings × (s name · s value).
//
//	33 time          8 the newest time of an append, Unix ms; in a snapshot
//	37 enforced      16 id · window, as it is from now on
//
// A window is v its number, and 0 for none; else v the first file of the log that has what the window may not have, 0 for
// this one · v the last one, if the window has failed, else 0 · 1 is it enforced? · v the time from which on it has had all ids, Unix ms · v partitions · partitions × v the offset from which on it is.
//
// Kinds 4, 5 and 8 are package partition's, for snapshots; so are 18 to 20, by which
// records are let go and moved, 36, of the ids of transactions that end, and 38, a
// batch without its copies, or batches of several partitions.
const (
	frameBatch = 1 + iota
	frameTopicMade
	frameTopicDropped
	framePartition   // of a snapshot: see package partition
	frameExtents     // the same
	frameTransaction // see package txn
	frameGroup       // see package group
	frameAborted     // of a snapshot: see package partition
	frameEnded
)

const (
	frameTopicConfigured = 16 + iota
	frameTopicGrown
)

const (
	frameUser = 32 + iota // of users and their credentials
	frameTime
)

const frameEnforced = 37 // of a window that knows by now what its topic had before it

func readID(b []byte) (id [16]byte, err error) {
	r := reader{b: b}
	copy(id[:], r.bytes(16))
	return id, r.end()
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errFrameCut = errors.New("frame does not hold what its kind says")

// reader takes a payload apart. After the first error it gives zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() {
	r.err = cmp.Or(r.err, errors.Join(hapax.ErrCorrupt, errFrameCut))
	r.b = nil
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) string() string { return string(r.bytes(r.uvarint(uint64(len(r.b))))) }

func (r *reader) end() error {
	if len(r.b) > 0 {
		r.fail()
	}
	return r.err
}

// newID is a random UUID (RFC 9562, version 4). It is never zero, nor Kafka's
// reserved one.
func newID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // it never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}
