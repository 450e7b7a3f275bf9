package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

var (
	errTooLarge = errors.New("more than may be inflated")
	errNoCodec  = errors.New("want none, gzip, snappy, lz4 or zstd")
	errSnappy   = errors.New("snappy: a block is cut off")
)

// inflater keeps decompressors, which are costly to make.
type inflater struct {
	source bytes.Reader
	gzip   *gzip.Reader
	lz4    *lz4.Reader
	zstd   *zstd.Decoder
	most   int // what zstd was made for
}

// inflate appends what b is, decompressed, to dst, which is empty: most bytes, or
// errTooLarge.
func (i *inflater) inflate(dst, b []byte, c Codec, most int) ([]byte, error) {
	i.source.Reset(b)
	switch c {
	case Gzip:
		return i.inflateGzip(dst, most)
	case Snappy:
		return inflateSnappy(dst, b, most)
	case LZ4:
		if i.lz4 == nil {
			i.lz4 = lz4.NewReader(nil)
		}
		i.lz4.Reset(&i.source)
		return drain(dst, i.lz4, most)
	case Zstd:
		return i.inflateZstd(dst, b, most)
	}
	return dst, fmt.Errorf("%v: %w", c, errNoCodec)
}

func (i *inflater) inflateGzip(dst []byte, most int) ([]byte, error) {
	if i.gzip == nil {
		i.gzip = new(gzip.Reader)
	}
	if err := i.gzip.Reset(&i.source); err != nil {
		return dst, err
	}
	return drain(dst, i.gzip, most)
}

func (i *inflater) inflateZstd(dst, b []byte, most int) ([]byte, error) {
	if i.zstd == nil || i.most != most {
		// One at a time starts no goroutine, so that it needs no end.
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(most)))
		if err != nil {
			return dst, err
		}
		i.zstd, i.most = z, most
	}
	dst, err := i.zstd.DecodeAll(b, dst)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || err == nil && len(dst) > most {
		return dst, errTooLarge
	}
	return dst, err
}

// drain appends what is left in r.
func drain(dst []byte, r io.Reader, most int) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, max(len(dst), 4<<10))
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst) > most:
			return dst, errTooLarge
		case errors.Is(err, io.EOF):
			return dst, nil
		case err != nil:
			return dst, err
		}
	}
}

// Snappy comes as one block, or as Java's snappy library (by Taro Saito, xerial)
// writes it: a mark, two versions, and blocks with their lengths before them.
const (
	xerialMark   = "\x82SNAPPY\x00"
	xerialHeader = len(xerialMark) + 8
	xerialLength = 4
)

func inflateSnappy(dst, b []byte, most int) ([]byte, error) {
	if !bytes.HasPrefix(b, []byte(xerialMark)) {
		return inflateBlock(dst, b, most)
	}
	if len(b) < xerialHeader {
		return dst, errSnappy
	}
	for b = b[xerialHeader:]; len(b) > 0; {
		if len(b) < xerialLength {
			return dst, errSnappy
		}
		n := uint64(binary.BigEndian.Uint32(b))
		if b = b[xerialLength:]; n > uint64(len(b)) {
			return dst, errSnappy
		}
		var err error
		if dst, err = inflateBlock(dst, b[:n], most); err != nil {
			return dst, err
		}
		b = b[n:]
	}
	return dst, nil
}

func inflateBlock(dst, b []byte, most int) ([]byte, error) {
	n, err := snappy.DecodedLen(b)
	switch {
	case err != nil:
		return dst, err
	case n > most-len(dst):
		return dst, errTooLarge
	}
	end := len(dst)
	dst = slices.Grow(dst, n)
	if _, err := snappy.Decode(dst[end:end+n:end+n], b); err != nil {
		return dst, err
	}
	return dst[:end+n], nil
}

// deflater keeps compressors, which are costly to make.
type deflater struct {
	sink bytes.Buffer
	gzip *gzip.Writer
	lz4  *lz4.Writer
	zstd *zstd.Encoder
}

// deflate appends b, compressed, to dst.
func (d *deflater) deflate(dst, b []byte, c Codec) ([]byte, error) {
	switch c {
	case Plain:
		return append(dst, b...), nil
	case Gzip:
		if d.gzip == nil {
			d.gzip = gzip.NewWriter(nil)
		}
		return d.write(dst, b, d.gzip)
	case Snappy:
		end := len(dst)
		dst = slices.Grow(dst, snappy.MaxEncodedLen(len(b)))
		return dst[:end+len(snappy.Encode(dst[end:cap(dst)], b))], nil
	case LZ4:
		if d.lz4 == nil {
			d.lz4 = lz4.NewWriter(nil)
		}
		return d.write(dst, b, d.lz4)
	case Zstd:
		if d.zstd == nil {
			z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
			if err != nil {
				return dst, err
			}
			d.zstd = z
		}
		return d.zstd.EncodeAll(b, dst), nil
	}
	return dst, fmt.Errorf("%v: %w", c, errNoCodec)
}

func (d *deflater) write(dst, b []byte, w interface {
	io.WriteCloser
	Reset(io.Writer)
}) ([]byte, error) {
	d.sink.Reset()
	w.Reset(&d.sink)
	if _, err := w.Write(b); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	return append(dst, d.sink.Bytes()...), nil
}
