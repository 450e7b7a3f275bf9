package batch

import (
	"bytes"
	"fmt"
)

// Recoder compresses batches anew, and reads their records. The zero value is
// ready. It keeps its buffers, decompressors and compressors, so use it again; it
// must not be used by two goroutines at once.
type Recoder struct {
	Decoder
	deflater deflater
}

// Append appends the batch b to dst, compressed by c, whatever it was compressed
// by. All that its header says stays, but for codec, length and checksum, and so
// do its records: their bytes are taken over. They are checked as by
// [Decoder.Records], with the same errors. dst is returned as it was if it fails.
func (r *Recoder) Append(dst, b []byte, c Codec) ([]byte, error) {
	h, err := ReadHeader(b)
	if err != nil {
		return dst, err
	}
	records, err := r.inflate(&h, b)
	if err != nil {
		return dst, err
	}
	h.each(records, func(_ Record, wrong error) bool {
		err = wrong
		return wrong == nil
	})
	if err != nil {
		return dst, err
	}
	h.Attributes = h.Attributes.With(c)
	grown, err := r.deflater.deflate(h.appendTo(dst), records, c)
	if r.deflater.sink.Cap() > spare {
		r.deflater.sink = bytes.Buffer{}
	}
	if err != nil {
		return dst, fmt.Errorf("deflate %d bytes: %w", len(records), err)
	}
	if len(grown)-len(dst) > maxBatch {
		return dst, fmt.Errorf("%d bytes: at most %d: %w", len(grown)-len(dst), maxBatch, ErrRecords)
	}
	finish(grown[len(dst):])
	return grown, nil
}
