package cold

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// head    8 magic · 4 version · 4 length of the footer · 8 its offset · 4 zero · 4 checksum
// footer  4 checksum · 8 number · 8 keys · 8 watermark · 4 digests? · 4 bits · 4 prefix · 4 generations · 4 replaced
//
//	generation  8 id · 8 start · 8 end · 8 count · 8 bytes · 8 log · 8 at
//	replaced    8 number
//	range       8 offset · 4 pages · 8 bytes of the filter · 4 its checksum · pages × 8 first key
const (
	magic    = "hapaxcld"
	version  = 1
	headSize = 32

	rangeSize = 24 // bytes of a range in the footer, its pages not counted
)

func encodeHead(footer int64, length int) []byte {
	b := make([]byte, 0, headSize)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, uint32(length))
	b = binary.LittleEndian.AppendUint64(b, uint64(footer))
	b = append(b, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint32(b, checksum(b))
}

func (f *File) encodeFooter() []byte {
	b := make([]byte, 4)
	b = binary.LittleEndian.AppendUint64(b, f.Number)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.Keys))
	b = binary.LittleEndian.AppendUint64(b, uint64(f.Watermark))
	digests := uint32(0)
	if f.layout.digests {
		digests = 1
	}
	for _, v := range []uint32{digests, uint32(f.bits), uint32(f.layout.prefix), uint32(len(f.Generations)), uint32(len(f.Replaces))} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	for _, g := range f.Generations {
		for _, v := range []uint64{g.ID, uint64(g.Start), uint64(g.End), uint64(g.Count), uint64(g.Bytes), g.Log, uint64(g.At)} {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
	}
	for _, n := range f.Replaces {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	for i := range f.ranges {
		r := &f.ranges[i]
		b = binary.LittleEndian.AppendUint64(b, uint64(r.offset))
		b = binary.LittleEndian.AppendUint32(b, uint32(r.pages))
		b = binary.LittleEndian.AppendUint64(b, uint64(r.size))
		b = binary.LittleEndian.AppendUint32(b, r.sum)
		for _, first := range r.first {
			b = binary.LittleEndian.AppendUint64(b, first)
		}
	}
	binary.LittleEndian.PutUint32(b, checksum(b[4:]))
	return b
}

// Open opens a cold file, its filters not loaded.
func Open(fsys vfs.FS, path string) (*File, error) {
	file, err := fsys.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open cold file: %w", err)
	}
	f := &File{path: path, file: file}
	if err := f.readFooter(); err != nil {
		return nil, errors.Join(fmt.Errorf("open cold file %s: %w", path, err), file.Close())
	}
	return f, nil
}

func (f *File) readFooter() (err error) {
	if f.size, err = f.file.Size(); err != nil {
		return err
	}
	head := make([]byte, headSize)
	if f.size < headSize {
		return damaged("it is too short")
	}
	if _, err := f.file.ReadAt(head, 0); err != nil {
		return err
	}
	length := int64(binary.LittleEndian.Uint32(head[12:]))
	offset := int64(binary.LittleEndian.Uint64(head[16:]))
	switch {
	case string(head[:8]) != magic:
		return damaged("it does not begin as one")
	case binary.LittleEndian.Uint32(head[8:]) > version:
		return fmt.Errorf("format %d was written by a newer version; this one reads up to %d", binary.LittleEndian.Uint32(head[8:]), version)
	case !bytes.Equal(head, encodeHead(offset, int(length))):
		return damaged("its head does not match its checksum")
	case offset < headSize || offset+length != f.size:
		return damaged("it is not as long as its head says")
	}
	b := make([]byte, length)
	if _, err := f.file.ReadAt(b, offset); err != nil {
		return err
	}
	return f.decodeFooter(b, offset)
}

func damaged(what string) error {
	return fmt.Errorf("%w: %s: restore it from a backup", hapax.ErrCorrupt, what)
}

// decodeFooter reads a footer whose pages and filters end at limit.
func (f *File) decodeFooter(b []byte, limit int64) error {
	if len(b) < 4 || binary.LittleEndian.Uint32(b) != checksum(b[4:]) {
		return damaged("its footer does not match its checksum")
	}
	r := footerReader{b: b[4:]}
	f.Number, f.Keys = r.u64(), int64(r.u64())
	f.Watermark = int64(r.u64())
	digests := r.u32()
	f.bits = int(r.u32())
	prefix := int(r.u32())
	generations, replaced := int(r.u32()), int(r.u32())
	f.layout = layoutFor(0, generations, digests == 1)
	f.layout.prefix = prefix
	if digests > 1 || f.bits > maxBits || prefix < 1 || prefix > 7 || generations > MaxGenerations || replaced > len(b)/8 {
		return damaged("its footer makes no sense")
	}
	for range generations {
		f.Generations = append(f.Generations, Generation{
			ID: r.u64(), Start: int64(r.u64()), End: int64(r.u64()), Count: int64(r.u64()), Bytes: int64(r.u64()),
			Log: r.u64(), At: int64(r.u64()),
		})
	}
	for range replaced {
		f.Replaces = append(f.Replaces, r.u64())
	}
	if len(r.b) < rangeSize<<f.bits {
		return damaged("its footer has another length")
	}
	f.ranges = make([]span, 1<<f.bits)
	for i := range f.ranges {
		s := &f.ranges[i]
		s.offset, s.pages, s.size, s.sum = int64(r.u64()), int(r.u32()), int64(r.u64()), r.u32()
		if s.pages > len(r.b)/8 || !s.within(limit) {
			return damaged("its footer makes no sense")
		}
		s.first = make([]uint64, s.pages)
		for j := range s.first {
			s.first[j] = r.u64()
		}
	}
	if r.short || len(r.b) > 0 {
		return damaged("its footer has another length")
	}
	return nil
}

// within tells whether the range lies behind the head and before limit.
func (s *span) within(limit int64) bool {
	if s.pages == 0 {
		return s.size == 0
	}
	pages := int64(s.pages) * pageSize
	return s.offset >= headSize && s.size >= filterHead && s.size <= math.MaxInt32 &&
		s.offset <= limit && pages <= limit-s.offset && s.size <= limit-s.offset-pages
}

type footerReader struct {
	b     []byte
	short bool
}

func (r *footerReader) u64() uint64 {
	if len(r.b) < 8 {
		r.b, r.short = nil, true
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *footerReader) u32() uint32 {
	if len(r.b) < 4 {
		r.b, r.short = nil, true
		return 0
	}
	v := binary.LittleEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v
}
