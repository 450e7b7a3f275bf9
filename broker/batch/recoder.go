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
	body, err := r.Open(b)
	if err != nil {
		return dst, err
	}
	s := body.Scan()
	for s.Next() {
	}
	if s.err != nil {
		return dst, s.err
	}
	body.Attributes = body.Attributes.With(c)
	return r.append(dst, &body.Header, body.records)
}

// append appends the batch of a header and its records, compressed as the header
// says.
func (r *Recoder) append(dst []byte, h *Header, records []byte) ([]byte, error) {
	grown, err := r.deflater.deflate(h.appendTo(dst), records, h.Attributes.Codec())
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
