package cold

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"unsafe"

	"github.com/FastFilter/xorfilter"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/arena"
)

// filterHead is the bytes before a filter's fingerprints.
const filterHead = 24

// filter is a range's filter in memory.
type filter struct {
	fuse   xorfilter.BinaryFuse[uint16]
	loaded bool
}

// appendFilter appends a filter as a file holds it.
func appendFilter(b []byte, x *xorfilter.BinaryFuse[uint16]) []byte {
	b = binary.LittleEndian.AppendUint64(b, x.Seed)
	for _, v := range []uint32{x.SegmentLength, x.SegmentLengthMask, x.SegmentCount, x.SegmentCountLength} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	for _, v := range x.Fingerprints {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	return b
}

// readFilter reads the filter of a range that has one into memory, which it keeps.
func (f *File) readFilter(r *span, memory []byte) (x filter, err error) {
	if _, err = f.file.ReadAt(memory, r.page(r.pages)); err == nil {
		err = x.decode(memory, r.sum)
	}
	if err != nil {
		return filter{}, fmt.Errorf("filter of %s at offset %d: %w", f.path, r.page(r.pages), err)
	}
	return x, nil
}

// filterAlign is what filters in memory are aligned to.
const filterAlign = 64

// place is the bytes that a filter takes in memory.
func (s *span) place() int64 { return (s.size + filterAlign - 1) / filterAlign * filterAlign }

// reserve makes room for all filters in memory outside the Go heap, where they
// take what they need and no more. All of it is usable from the first on, so that
// the system may use huge pages.
func (f *File) reserve() (err error) {
	if f.memory != nil {
		return nil
	}
	var size int64
	for i := range f.ranges {
		f.ranges[i].at = size
		size += f.ranges[i].place()
	}
	if f.memory, err = arena.Reserve(size); err == nil {
		_, err = f.memory.Grow(int(size))
	}
	return err
}

// decode makes b, which it keeps, the filter.
func (x *filter) decode(b []byte, sum uint32) error {
	if checksum(b) != sum || len(b) < filterHead+2 {
		return fmt.Errorf("%w: it does not match its checksum: restore the file from a backup", hapax.ErrCorrupt)
	}
	x.fuse = xorfilter.BinaryFuse[uint16]{
		Seed:               binary.LittleEndian.Uint64(b),
		SegmentLength:      binary.LittleEndian.Uint32(b[8:]),
		SegmentLengthMask:  binary.LittleEndian.Uint32(b[12:]),
		SegmentCount:       binary.LittleEndian.Uint32(b[16:]),
		SegmentCountLength: binary.LittleEndian.Uint32(b[20:]),
		Fingerprints:       unsafe.Slice((*uint16)(unsafe.Pointer(&b[filterHead])), (len(b)-filterHead)/2),
	}
	for i := range x.fuse.Fingerprints { // in place, where bytes have another order
		x.fuse.Fingerprints[i] = binary.LittleEndian.Uint16(b[filterHead+2*i:])
	}
	// contains relies on this: it looks at three segments in a row.
	segment := uint64(x.fuse.SegmentLength)
	if bits.OnesCount64(segment) != 1 || x.fuse.SegmentLengthMask != x.fuse.SegmentLength-1 || x.fuse.SegmentCount == 0 ||
		uint64(x.fuse.SegmentCountLength) != uint64(x.fuse.SegmentCount)*segment ||
		uint64(len(b)) != filterHead+2*(uint64(x.fuse.SegmentCountLength)+2*segment) {
		return fmt.Errorf("%w: its parts do not fit together: restore the file from a backup", hapax.ErrCorrupt)
	}
	x.loaded = true
	return nil
}

// contains tells whether a key with that word may be there. It is what the
// Contains of xorfilter does, spelt out because the format depends on it and
// because a new identity is asked for in every file.
func (x *filter) contains(w uint64) bool {
	h := w + x.fuse.Seed
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	at, _ := bits.Mul64(h, uint64(x.fuse.SegmentCountLength))
	h0 := uint32(at)
	h1 := h0 + x.fuse.SegmentLength
	h2 := h1 + x.fuse.SegmentLength
	h1 ^= uint32(h>>18) & x.fuse.SegmentLengthMask
	h2 ^= uint32(h) & x.fuse.SegmentLengthMask
	places := x.fuse.Fingerprints
	return uint16(h^h>>32)^places[h0]^places[h1]^places[h2] == 0
}

// filterBytes is about what a filter of so many keys takes, not less: the
// factor by which a binary fuse filter has more places than keys falls to 1.125
// at a million, and places come in segments (Graf and Lemire 2022).
func filterBytes(keys float64) float64 {
	if keys < 2 {
		return 64
	}
	factor := max(1.125, 0.875+0.25*math.Log(1e6)/math.Log(keys))
	segment := math.Exp2(math.Floor(math.Log(keys)/math.Log(3.33) + 2.25))
	return filterHead + 2*max(keys*factor+segment, 3*segment)
}
