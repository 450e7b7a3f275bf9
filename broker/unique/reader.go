package unique

import (
	"fmt"
	"slices"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/ledger"
)

// MaxRecords is how many records of one batch are read at most: what a ledger takes
// at once.
const MaxRecords = 1 << 20

// spare bounds what a reader keeps from one batch to the next, in entries, records
// and bytes of an id.
const spare = 64 << 10

// spareBatch is the same for batches.
const spareBatch = 2 << 20

// Reader reads the ids of batches, one batch at a time, and writes what is left of
// them. The zero value is ready. It keeps its buffers, so use it again, for any
// topic; it must not be used by two goroutines at once. All that it gives belongs to
// it and is good until the next Read.
type Reader struct {
	// Entries are those of the records that have an id, in their order. Offset is
	// the record's offset delta, by which records are known throughout, and Size
	// its bytes in the batch, decompressed.
	Entries []ledger.Entry
	// Missing are the records without one.
	Missing []Missing

	recoder batch.Recoder
	left    []byte // of the batch, after Rewrite
	body    batch.Body
	message hapax.Message
	id      []byte
	scope   []byte
	scoped  identity.Hasher // by scope
}

// Missing is a record without an id.
type Missing struct {
	Delta int32 // its offset delta
	Err   error // a hapax.ErrMissing, or a hapax.ErrMalformed
}

// Read reads the ids of the records of the batch b, which [batch.Validate] has let
// pass, for a partition. Compressed records may become most bytes, 0 standing for
// [batch.MaxInflated]. b may be changed by [batch.SetBase] until the next Read, and
// by nothing else.
//
// All errors are [code.InvalidRecord]: the batch is damaged, or too large.
func (r *Reader) Read(n *Namer, partition int32, b []byte, most int) (err error) {
	r.reset()
	r.recoder.Most = most
	if r.body, err = r.recoder.Open(b); err != nil {
		return fmt.Errorf("read ids: %w", err)
	}
	if r.body.Count > MaxRecords {
		return fmt.Errorf("read ids: batch of %d records: at most %d: %w", r.body.Count, MaxRecords, code.InvalidRecord)
	}
	r.Entries = slices.Grow(r.Entries, r.body.MostRecords())
	within := n.within(partition)
	s := r.body.Scan()
	s.Wanted = n.header
	for s.Next() {
		last := len(r.Entries)
		r.Entries = r.Entries[:last+1]
		e := &r.Entries[last]
		*e = ledger.Entry{Offset: int64(s.Record.OffsetDelta), Size: int64(s.Size)}
		if err := r.name(n, &within, &s, e); err != nil {
			r.Entries = r.Entries[:last]
			r.Missing = append(r.Missing, Missing{s.Record.OffsetDelta, err})
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("read ids: %w", err)
	}
	return nil
}

// Records scans the batch that was read once more. What it gives is good until the
// next Read.
func (r *Reader) Records() batch.Scanner { return r.body.Scan() }

// Shift adds to the offsets of the entries, which are deltas as they are read.
func (r *Reader) Shift(by int64) {
	for i := range r.Entries {
		r.Entries[i].Offset += by
	}
}

// name fills in fingerprint and digest of a record.
func (r *Reader) name(n *Namer, within *identity.Hasher, s *batch.Scanner, e *ledger.Entry) error {
	if len(s.Header) > 0 {
		r.id = identity.AppendHeader(r.id[:0], s.Header)
	} else if err := r.read(n, &within, &s.Record); err != nil {
		return err
	}
	within.Sum(&e.Fingerprint, r.id)
	if n.digests {
		e.Digest = n.digester.Digest(s.Record.Value)
	}
	return nil
}

// read reads the record's id, and within what it is one.
func (r *Reader) read(n *Namer, within **identity.Hasher, record *batch.Record) (err error) {
	m := &r.message
	m.Key, m.Value = record.Key, record.Value
	if n.events || len(n.headers) > 0 {
		r.takeHeaders(n, record.Headers)
	}
	if n.scope.by != nil {
		if r.scope, err = n.scope.by.Append(r.scope[:0], m); err != nil {
			return fmt.Errorf("scope: %w", err)
		}
		r.scoped = n.hasher.ScopedBytes(r.scope)
		*within = &r.scoped
	}
	r.id, err = n.identity.Append(r.id[:0], m)
	return err
}

// takeHeaders makes headers of the message of those that are read, and of no others.
func (r *Reader) takeHeaders(n *Namer, from batch.Headers) {
	to := r.message.Headers[:0]
	if n.alike { // their order tells which is the first
		for h := range from.All() {
			to = append(to, hapax.Header{Name: string(h.Key), Value: h.Value})
		}
		r.message.Headers = to
		return
	}
	for _, name := range n.headers {
		if value, ok := from.First(name); ok {
			to = append(to, hapax.Header{Name: name, Value: value})
		}
	}
	if n.events {
		for h := range from.All() {
			if name := identity.EventHeader(h.Key); name != "" {
				to = append(to, hapax.Header{Name: name, Value: h.Value})
			}
		}
	}
	r.message.Headers = to
}

// reset lets go of the last batch, and of what it took if that was much.
func (r *Reader) reset() {
	r.Entries, r.Missing = emptied(r.Entries), emptied(r.Missing)
	r.id, r.scope = emptied(r.id), emptied(r.scope)
	r.message.Headers = emptied(r.message.Headers)
	r.body = batch.Body{}
}

func emptied[T any](s []T) []T {
	if cap(s) > spare {
		return nil
	}
	return s[:0]
}
