package batch

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/hapaxmq/hapax/broker/code"
)

const (
	// HeaderSize is the number of bytes before a batch's records.
	HeaderSize = 61
	// Magic is the format's number.
	Magic = 2

	// None stands where there is no producer id, epoch, sequence, leader epoch
	// or timestamp.
	None = -1

	// prefixSize is the part of a header that its length does not count.
	prefixSize = 12

	offsetLength     = 8
	offsetEpoch      = 12
	offsetMagic      = 16
	offsetCRC        = 17
	offsetAttributes = 21
	offsetMax        = 35
)

// Codec is how records are compressed.
type Codec uint8

// The codecs.
const (
	Plain Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

// String is the codec's name in topic settings.
func (c Codec) String() string {
	switch c {
	case Plain:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec %d", uint8(c))
}

// Attributes are flags, and the codec.
type Attributes uint16

const (
	codecMask Attributes = 7

	// AppendTime says that the records' time is MaxTimestamp, set by the broker.
	AppendTime Attributes = 1 << 3
	// Transactional says that the records belong to a transaction.
	Transactional Attributes = 1 << 4
	// Control says that the records are for clients' own use, such as a marker.
	Control Attributes = 1 << 5
	// DeleteHorizon says that BaseTimestamp is when tombstones may go.
	DeleteHorizon Attributes = 1 << 6
)

// Codec is how the records are compressed.
func (a Attributes) Codec() Codec { return Codec(a & codecMask) }

// With is a with another codec.
func (a Attributes) With(c Codec) Attributes { return a&^codecMask | Attributes(c)&codecMask }

// Has tells whether all flags are set.
func (a Attributes) Has(flags Attributes) bool { return a&flags == flags }

// Header is what comes before the records.
type Header struct {
	BaseOffset      int64
	Length          int32 // bytes after this field
	LeaderEpoch     int32
	CRC             uint32
	Attributes      Attributes
	LastOffsetDelta int32
	BaseTimestamp   int64 // Unix ms, or None
	MaxTimestamp    int64 // Unix ms, or None
	ProducerID      int64 // or None
	ProducerEpoch   int16 // or None
	BaseSequence    int32 // or None
	Count           int32 // records that are there
}

// ReadHeader reads the header that b begins with. It looks at magic and length
// and leaves all else to [Validate]. Of b it needs [HeaderSize] bytes.
func ReadHeader(b []byte) (Header, error) {
	if len(b) > offsetMagic {
		switch magic := int8(b[offsetMagic]); magic {
		case Magic:
		case 0, 1:
			return Header{}, fmt.Errorf("message set of format %d: send record batches of format 2: %w", magic, code.InvalidRecord)
		default:
			return Header{}, fmt.Errorf("batch of format %d: want 2: %w", magic, code.CorruptMessage)
		}
	}
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("batch of %d bytes: the header alone has %d: %w", len(b), HeaderSize, code.CorruptMessage)
	}
	h := Header{
		BaseOffset:      int64(binary.BigEndian.Uint64(b)),
		Length:          int32(binary.BigEndian.Uint32(b[offsetLength:])),
		LeaderEpoch:     int32(binary.BigEndian.Uint32(b[offsetEpoch:])),
		CRC:             binary.BigEndian.Uint32(b[offsetCRC:]),
		Attributes:      Attributes(binary.BigEndian.Uint16(b[offsetAttributes:])),
		LastOffsetDelta: int32(binary.BigEndian.Uint32(b[23:])),
		BaseTimestamp:   int64(binary.BigEndian.Uint64(b[27:])),
		MaxTimestamp:    int64(binary.BigEndian.Uint64(b[offsetMax:])),
		ProducerID:      int64(binary.BigEndian.Uint64(b[43:])),
		ProducerEpoch:   int16(binary.BigEndian.Uint16(b[51:])),
		BaseSequence:    int32(binary.BigEndian.Uint32(b[53:])),
		Count:           int32(binary.BigEndian.Uint32(b[57:])),
	}
	if h.Length < HeaderSize-prefixSize {
		return Header{}, fmt.Errorf("batch of length %d: the header alone has %d: %w", h.Length, HeaderSize-prefixSize, code.CorruptMessage)
	}
	return h, nil
}

// appendTo appends the header; finish sets length and checksum.
func (h *Header) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(h.BaseOffset))
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(h.LeaderEpoch))
	b = append(b, Magic, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(h.Attributes))
	b = binary.BigEndian.AppendUint32(b, uint32(h.LastOffsetDelta))
	b = binary.BigEndian.AppendUint64(b, uint64(h.BaseTimestamp))
	b = binary.BigEndian.AppendUint64(b, uint64(h.MaxTimestamp))
	b = binary.BigEndian.AppendUint64(b, uint64(h.ProducerID))
	b = binary.BigEndian.AppendUint16(b, uint16(h.ProducerEpoch))
	b = binary.BigEndian.AppendUint32(b, uint32(h.BaseSequence))
	return binary.BigEndian.AppendUint32(b, uint32(h.Count))
}

// finish completes a batch whose other bytes are there.
func finish(b []byte) {
	binary.BigEndian.PutUint32(b[offsetLength:], uint32(len(b)-prefixSize))
	sum(b)
}

func sum(b []byte) {
	binary.BigEndian.PutUint32(b[offsetCRC:], checksum(b))
}

// checksum is over what the client wrote: neither base offset nor leader epoch.
func checksum(b []byte) uint32 {
	return crc32.Checksum(b[offsetAttributes:], crc32.MakeTable(crc32.Castagnoli))
}

// Size is the number of bytes of the whole batch.
func (h *Header) Size() int { return prefixSize + int(h.Length) }

// LastOffset is the last offset that the batch takes. There need not be a record
// at it.
func (h *Header) LastOffset() int64 { return h.BaseOffset + int64(h.LastOffsetDelta) }

// Newest is the latest time in the batch, in Unix ms, or None. Some clients leave
// MaxTimestamp out, or give the last record's time.
func (h *Header) Newest() int64 {
	if h.Attributes.Has(AppendTime) || h.Attributes.Has(DeleteHorizon) {
		return h.MaxTimestamp
	}
	return max(h.BaseTimestamp, h.MaxTimestamp)
}

// Idempotent tells whether the batch has a producer id.
func (h *Header) Idempotent() bool { return h.ProducerID != None }

// SetBase puts the batch b at an offset, in place. The checksum stays right.
// b must be valid.
func SetBase(b []byte, offset int64, leaderEpoch int32) {
	binary.BigEndian.PutUint64(b, uint64(offset))
	binary.BigEndian.PutUint32(b[offsetEpoch:], uint32(leaderEpoch))
}

// SetAppendTime gives all records of the batch b the same time, in Unix ms, in
// place, and computes a new checksum. b must be valid.
func SetAppendTime(b []byte, now int64) {
	attributes := Attributes(binary.BigEndian.Uint16(b[offsetAttributes:])) | AppendTime
	binary.BigEndian.PutUint16(b[offsetAttributes:], uint16(attributes))
	binary.BigEndian.PutUint64(b[offsetMax:], uint64(now))
	sum(b)
}

// Intact tells whether the batch b, as [Next] gives it, matches its checksum.
func Intact(b []byte) bool {
	return len(b) >= HeaderSize && binary.BigEndian.Uint32(b[offsetCRC:]) == checksum(b)
}

// Next cuts the first batch off b, which is not empty. Nothing but its header's
// magic and length is looked at.
func Next(b []byte) (first, rest []byte, err error) {
	h, err := ReadHeader(b)
	if err != nil {
		return nil, nil, err
	}
	if h.Size() > len(b) {
		return nil, nil, fmt.Errorf("batch of %d bytes: only %d are there: %w", h.Size(), len(b), code.CorruptMessage)
	}
	n := h.Size()
	return b[:n:n], b[n:], nil
}
