package segment

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// A file is a header and frames. All numbers are little endian, all frames
// begin at multiples of eight.
//
//	header                            frame
//	 0   8  magic "hapaxseg"           0   4  checksum
//	 8   4  format version, 1          4   4  mark
//	12   4  kind                       8   4  length of the payload
//	16   8  salt                      12   1  type
//	24   8  sequence                  13   3  zero
//	32   8  created, Unix ns, 0 none  16   8  synced
//	40  16  owner                     24   …  payload
//	56   4  zero                       …   …  zeros up to a multiple of eight
//	60   4  checksum of 0 to 60
//
//	payload of the seal (type 255), which is the last frame
//	 0   8  frames before it
//	 8   8  bytes of their payloads
//	16   8  chain of their checksums
//
// The checksums are CRC-32C (Castagnoli). Salt and offset together choose 64
// bits for each frame: one half is its mark, the other is what its checksum,
// over everything from the mark to the end of the padding, starts from. The
// choice is one to one, so no frame is valid at another offset of its file, nor
// but by a chance of 2⁻⁶⁴ in another file. The mark tells where a frame may
// begin without reading it.
//
// Magic, version and the header's checksum stay where they are in all versions.
const (
	magic   = "hapaxseg"
	version = 1

	headerSize  = 64
	headerSum   = 60
	frameHeader = 24
	align       = 8

	typeSeal = 255
	sealBody = 24
	sealSize = frameHeader + sealBody

	// FirstFrame is the offset of a file's first frame.
	FirstFrame = headerSize
	// PayloadAt is where a frame's payload begins in it.
	PayloadAt = frameHeader
)

// castagnoli returns the table whose checksums processors compute.
// MakeTable always returns the same one.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// FrameSize returns the bytes that a frame with such a payload takes.
func FrameSize(payload int) int64 {
	return (frameHeader + int64(payload) + align - 1) &^ (align - 1)
}

func encodeHeader(h Header) []byte {
	b := make([]byte, headerSize)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], version)
	binary.LittleEndian.PutUint32(b[12:], h.Kind)
	binary.LittleEndian.PutUint64(b[16:], h.Salt)
	binary.LittleEndian.PutUint64(b[24:], h.Sequence)
	if !h.Created.IsZero() {
		binary.LittleEndian.PutUint64(b[32:], uint64(h.Created.UnixNano()))
	}
	copy(b[40:56], h.Owner[:])
	binary.LittleEndian.PutUint32(b[headerSum:], crc32.Checksum(b[:headerSum], castagnoli()))
	return b
}

var (
	errNoHeader    = errors.New("no header of a segment")
	errHeaderSum   = errors.New("header does not match its checksum")
	errHeaderField = errors.New("header has a field that must be zero")
)

func decodeHeader(b []byte) (Header, error) {
	switch {
	case len(b) < headerSize || string(b[:len(magic)]) != magic:
		return Header{}, errNoHeader
	case binary.LittleEndian.Uint32(b[headerSum:]) != crc32.Checksum(b[:headerSum], castagnoli()):
		return Header{}, errHeaderSum
	case binary.LittleEndian.Uint32(b[8:]) != version:
		return Header{}, ErrNewer
	case binary.LittleEndian.Uint32(b[56:]) != 0:
		return Header{}, errHeaderField
	}
	h := Header{
		Kind:     binary.LittleEndian.Uint32(b[12:]),
		Salt:     binary.LittleEndian.Uint64(b[16:]),
		Sequence: binary.LittleEndian.Uint64(b[24:]),
		Owner:    [16]byte(b[40:56]),
	}
	if ns := int64(binary.LittleEndian.Uint64(b[32:])); ns != 0 {
		h.Created = time.Unix(0, ns)
	}
	return h, nil
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014). It is one to
// one.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// place is the one-to-one choice of a frame's mark and its checksum's start.
func place(salt uint64, offset int64) (mark, start uint32) {
	x := mix(salt ^ uint64(offset))
	return uint32(x >> 32), uint32(x)
}

// appendFrame appends a frame that lacks what stamp fills in.
func appendFrame(b []byte, kind uint8, length int, parts ...[]byte) []byte {
	var header [frameHeader]byte
	binary.LittleEndian.PutUint32(header[8:], uint32(length))
	header[12] = kind
	b = append(b, header[:]...)
	for _, p := range parts {
		b = append(b, p...)
	}
	var zeros [align]byte
	return append(b, zeros[:FrameSize(length)-frameHeader-int64(length)]...)
}

// stamp completes the frame at the beginning of b, which will stand at offset,
// and returns its checksum and its size.
func stamp(b []byte, salt uint64, offset, synced int64) (sum uint32, size int64) {
	size = FrameSize(int(binary.LittleEndian.Uint32(b[8:])))
	mark, start := place(salt, offset)
	binary.LittleEndian.PutUint32(b[4:], mark)
	binary.LittleEndian.PutUint64(b[16:], uint64(synced))
	sum = crc32.Update(start, castagnoli(), b[4:size])
	binary.LittleEndian.PutUint32(b, sum)
	return sum, size
}

// frameHead is what the first bytes of a frame say of it.
type frameHead struct {
	kind   uint8
	length int
	synced int64
}

func (h frameHead) size() int64 { return FrameSize(h.length) }

// decodeHead reads the first bytes of what may be a frame at offset, and
// reports whether it may be. The payload is at most limit bytes.
func decodeHead(b []byte, salt uint64, offset int64, limit int) (frameHead, bool) {
	if mark, _ := place(salt, offset); len(b) < frameHeader || binary.LittleEndian.Uint32(b[4:]) != mark {
		return frameHead{}, false
	}
	length := binary.LittleEndian.Uint32(b[8:])
	synced := binary.LittleEndian.Uint64(b[16:])
	switch {
	case int64(length) > int64(limit),
		b[12] == 0,
		b[13]|b[14]|b[15] != 0,
		synced < headerSize || synced > uint64(offset):
		return frameHead{}, false
	}
	return frameHead{kind: b[12], length: int(length), synced: int64(synced)}, true
}

// decodeFrame checks the whole frame that head was decoded from, which is all
// of b, and returns it with its checksum. The payload is a part of b.
func decodeFrame(b []byte, head frameHead, salt uint64, offset int64) (f Frame, sum uint32, ok bool) {
	if int64(len(b)) != head.size() {
		return Frame{}, 0, false
	}
	_, start := place(salt, offset)
	sum = binary.LittleEndian.Uint32(b)
	if crc32.Update(start, castagnoli(), b[4:]) != sum {
		return Frame{}, 0, false
	}
	end := frameHeader + head.length
	for _, zero := range b[end:] {
		if zero != 0 {
			return Frame{}, 0, false
		}
	}
	return Frame{Type: head.kind, Offset: offset, Synced: head.synced, Payload: b[frameHeader:end:end]}, sum, true
}

// tally is what a seal says of the frames before it.
type tally struct {
	frames, bytes int64
	chain         uint64 // of the checksums: another one anywhere is another chain
}

func (t *tally) add(payload int, sum uint32) {
	t.frames++
	t.bytes += int64(payload)
	t.chain = mix(t.chain ^ uint64(sum))
}

// Ending is where the frames of a file end, and which they are: a file with
// frames missing, more of them, or other ones has another. It is what a seal
// says, for who keeps it elsewhere.
type Ending struct {
	End   int64
	Chain uint64
}

func (t tally) ending(end int64) Ending { return Ending{End: end, Chain: t.chain} }

// encodeSeal returns the seal that belongs at offset.
func encodeSeal(t tally, salt uint64, offset int64) []byte {
	var body [sealBody]byte
	binary.LittleEndian.PutUint64(body[0:], uint64(t.frames))
	binary.LittleEndian.PutUint64(body[8:], uint64(t.bytes))
	binary.LittleEndian.PutUint64(body[16:], t.chain)
	b := appendFrame(make([]byte, 0, sealSize), typeSeal, sealBody, body[:])
	stamp(b, salt, offset, offset)
	return b
}
