package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"testing"
	"time"
)

const testSalt = 0x0123456789abcdef

func encodeFrame(kind uint8, payload []byte, offset, synced int64) []byte {
	b := appendFrame(nil, kind, len(payload), payload)
	stamp(b, testSalt, offset, synced)
	return b
}

func decode(b []byte, offset int64, limit int) (Frame, bool) {
	head, ok := decodeHead(b, testSalt, offset, limit)
	if !ok || head.size() != int64(len(b)) {
		return Frame{}, false
	}
	f, _, ok := decodeFrame(b, head, testSalt, offset)
	return f, ok
}

func TestFrameOfEachLength(t *testing.T) {
	for length := range 50 {
		payload := bytes.Repeat([]byte{0xee}, length)
		b := encodeFrame(7, payload, 640, 64)
		if len(b)%8 != 0 || int64(len(b)) != FrameSize(length) {
			t.Errorf("payload of %d: frame of %d bytes", length, len(b))
		}
		f, ok := decode(b, 640, 100)
		if !ok || f.Type != 7 || f.Offset != 640 || f.Synced != 64 || !bytes.Equal(f.Payload, payload) || f.Next() != 640+int64(len(b)) {
			t.Errorf("payload of %d: %+v, %v", length, f, ok)
		}
		if _, ok := decode(b, 640, length-1); ok {
			t.Errorf("payload of %d: valid above the limit", length)
		}
		for _, other := range []int64{64, 632, 648, 640 + 1<<32, math.MaxInt64 &^ 7} {
			if _, ok := decode(b, other, 100); ok {
				t.Errorf("payload of %d: valid at offset %d, too", length, other)
			}
		}
	}
}

// restamp makes the checksum fit whatever b holds.
func restamp(b []byte, offset int64) {
	_, start := place(testSalt, offset)
	binary.LittleEndian.PutUint32(b, crc32.Update(start, castagnoli(), b[4:]))
}

// What no writer writes is no frame, even if the checksum fits.
func TestFrameNobodyWrites(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(b []byte)
		valid  bool
	}{
		{"nothing", func([]byte) {}, true},
		{"padding", func(b []byte) { b[31] = 1 }, false},
		{"reserved", func(b []byte) { b[14] = 1 }, false},
		{"type 0", func(b []byte) { b[12] = 0 }, false},
		{"synced behind itself", func(b []byte) { b[16] = 136 }, false},
		{"synced within the header", func(b []byte) { b[16] = 56 }, false},
		{"synced negative", func(b []byte) { b[23] = 0x80 }, false},
		{"mark", func(b []byte) { b[4] ^= 1 }, false},
	} {
		b := encodeFrame(1, []byte("seven.."), 128, 64)
		c.change(b)
		restamp(b, 128)
		if _, ok := decode(b, 128, 100); ok != c.valid {
			t.Errorf("%s: valid is %v", c.name, ok)
		}
	}
}

// No two offsets of a file have mark and start in common.
func TestPlaceIsOneToOne(t *testing.T) {
	seen := map[[2]uint32]int64{}
	for off := int64(0); off < 1<<20; off += 8 {
		mark, start := place(testSalt, off)
		if other, taken := seen[[2]uint32{mark, start}]; taken {
			t.Fatalf("offsets %d and %d share their place", off, other)
		}
		seen[[2]uint32{mark, start}] = off
	}
}

func TestHeaderFields(t *testing.T) {
	for _, h := range []Header{
		{},
		{Kind: math.MaxUint32, Sequence: math.MaxUint64, Salt: math.MaxUint64, Owner: [16]byte{15: 1}, Created: time.Unix(0, 1)},
		{Created: time.Unix(-1, 0)},
	} {
		got, err := decodeHeader(encodeHeader(h))
		if err != nil || got != h {
			t.Errorf("%+v came back as %+v, %v", h, got, err)
		}
	}
	b := encodeHeader(Header{})
	b[57] = 1
	binary.LittleEndian.PutUint32(b[headerSum:], crc32.Checksum(b[:headerSum], castagnoli()))
	if _, err := decodeHeader(b); !errors.Is(err, errHeaderField) {
		t.Errorf("reserved field set: %v", err)
	}
}

func TestLastNonzero(t *testing.T) {
	for length := range 40 {
		b := make([]byte, length)
		if got := lastNonzeroIn(b); got != -1 {
			t.Errorf("%d zeros: %d", length, got)
		}
		for at := range b {
			b[at] = 1
			if got := lastNonzeroIn(b); got != at {
				t.Errorf("the last of %d at %d: %d", length, at, got)
			}
		}
	}
}

func FuzzDecodeHeader(f *testing.F) {
	f.Add(encodeHeader(Header{}))
	f.Add(encodeHeader(Header{Kind: 1, Sequence: 2, Salt: 3, Owner: [16]byte{4}, Created: time.Unix(5, 6)}))
	f.Add([]byte(magic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= headerSize { // a fuzzer finds no checksum by chance
			binary.LittleEndian.PutUint32(b[headerSum:], crc32.Checksum(b[:headerSum], castagnoli()))
		}
		h, err := decodeHeader(b)
		if err == nil && !bytes.Equal(encodeHeader(h), b[:headerSize]) {
			t.Errorf("%x is decoded to %+v, which is encoded in another way", b, h)
		}
	})
}

func FuzzDecodeFrame(f *testing.F) {
	f.Add(encodeFrame(1, nil, 64, 64), int64(64))
	f.Add(encodeFrame(9, []byte("hello"), 1024, 512), int64(1024))
	f.Add(encodeSeal(tally{1, 2, 3}, testSalt, 128), int64(128))
	f.Add([]byte{}, int64(-1))
	f.Fuzz(func(t *testing.T, b []byte, offset int64) {
		if len(b) >= frameHeader {
			mark, _ := place(testSalt, offset)
			binary.LittleEndian.PutUint32(b[4:], mark)
			restamp(b, offset)
		}
		frame, ok := decode(b, offset, 1<<20)
		if ok && !bytes.Equal(encodeFrame(frame.Type, frame.Payload, offset, frame.Synced), b) {
			t.Errorf("%x is decoded to %+v, which is encoded in another way", b, frame)
		}
	})
}
