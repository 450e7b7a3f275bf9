package batch

import (
	"fmt"

	"github.com/hapaxmq/hapax/broker/code"
)

// Body is a batch whose records are decompressed.
type Body struct {
	Header
	records []byte
}

// Open decompresses the records of the batch b, which must have been taken as a
// batch by [Validate] or [Next]. They are parts of b, or, if b is compressed, of a
// buffer that is used again when the next batch is read. Errors are as for
// [Decoder.Records].
func (d *Decoder) Open(b []byte) (Body, error) {
	h, err := ReadHeader(b)
	if err != nil {
		return Body{}, err
	}
	records, err := d.inflate(&h, b)
	if err != nil {
		return Body{}, err
	}
	return Body{h, records}, nil
}

// MostRecords is how many records there can be, whatever the header says: so much
// room may be made before they are read.
func (b *Body) MostRecords() int { return max(min(int(b.Count), len(b.records)/leastRecord), 0) }

// Scanner goes through the records of a batch, for callers to whom each nanosecond
// counts: others range over [Decoder.Records].
type Scanner struct {
	Record Record // the one that Next has found
	Size   int    // its bytes in the batch, decompressed

	Wanted string // the name of a header, if one is looked for
	Header []byte // the value of the first one of Record with that name; nil: it has none

	rest  []byte
	index int32 // of the next one
	count int32
	last  int32 // offset delta of Record
	most  int32 // that of the last one in the batch
	err   error
}

// Scan returns a scanner that stands before the first record.
func (b *Body) Scan() Scanner {
	return Scanner{rest: b.records, count: b.Count, last: None, most: b.LastOffsetDelta}
}

// Next goes to the next record. It is false behind the last one and where
// something is wrong, as [Scanner.Err] tells.
func (s *Scanner) Next() bool {
	if s.index >= s.count {
		s.end()
		return false
	}
	size, header, ok := s.Record.readShort(s.rest, s.Wanted)
	if !ok {
		var err error
		if size, header, err = s.Record.read(s.rest, s.Wanted); err != nil {
			return s.fail(err)
		}
	}
	s.Header = header
	return s.goOn(size)
}

// skim is Next of time and offset alone.
func (s *Scanner) skim() bool {
	if s.index >= s.count {
		s.end()
		return false
	}
	all, i := s.Record.readHead(s.rest)
	if i < 0 {
		return s.fail(wrong(i))
	}
	return s.goOn(len(all))
}

// goOn goes on behind a record of a size, if it is where it may be.
func (s *Scanner) goOn(size int) bool {
	delta := s.Record.OffsetDelta
	if delta <= s.last || delta > s.most {
		return s.fail(fmt.Errorf("offset delta %d, want more than %d and at most %d", delta, s.last, s.most))
	}
	s.Size, s.last, s.rest = size, delta, s.rest[size:]
	s.index++
	return true
}

// Err is what is wrong with what Next has not found: a [code.InvalidRecord].
func (s *Scanner) Err() error { return s.err }

func (s *Scanner) fail(err error) bool {
	s.err = fmt.Errorf("record %d of %d: %w: %w", s.index+1, s.count, err, code.InvalidRecord)
	s.rest, s.count = nil, 0
	return false
}

func (s *Scanner) end() {
	if len(s.rest) > 0 {
		s.err = fmt.Errorf("%d bytes follow the last of %d records: %w", len(s.rest), s.count, code.InvalidRecord)
		s.rest = nil
	}
}
