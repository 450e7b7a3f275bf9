package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// ScanOptions configures [Scan] and [OpenReader]. The zero value works.
type ScanOptions struct {
	Kind     uint32 // the kind the file must have; zero: any
	Sequence uint64 // the number the file must have; zero: any
	// MustBeSealed makes an unfinished file damage.
	MustBeSealed bool
	// End is an offset behind which nothing is read, because the frames are known
	// to end there or earlier; zero: there is none. With it Scan may run while
	// zeros behind it are cut off.
	End      int64
	MaxFrame int // as Options.MaxFrame
	ReadSize int // bytes of one read (default 256 KiB, at least 4 KiB)
}

func (o ScanOptions) withDefaults() ScanOptions {
	o.MaxFrame = Options{MaxFrame: o.MaxFrame}.withDefaults().MaxFrame
	if o.ReadSize <= 0 {
		o.ReadSize = 256 << 10
	}
	o.ReadSize = max(o.ReadSize, 4<<10)
	return o
}

// Report is what [Scan] found in a file.
type Report struct {
	Header Header
	Sealed bool
	Frames int64 // without the seal
	Bytes  int64 // of their payloads
	End    int64 // where the frames end, the seal not counted
	Torn   int64 // bytes behind End that hold no frame and will be cut
	Size   int64 // of the file, zeros written ahead included

	synced int64 // the highest offset that a frame says was durable
	tally  tally
}

// Ending is where the frames end and which they are, the seal not counted.
func (r Report) Ending() Ending { return r.tally.ending(r.End) }

// Synced is the highest offset of which a frame says that all before it was
// durable: the edge of a frame. What is behind it may have been durable too.
func (r Report) Synced() int64 { return r.synced }

// Scan reads a file from its beginning and hands each frame to visit, in order.
// The payload is visit's until it returns. An error of visit ends the scan and
// is returned as it is.
//
// The report is complete if the error is nil. With Torn bytes, or without a
// seal, the file is to go through [OpenAppend] before anybody is told of what it
// holds: until then it may be there by the operating system's memory only.
//
// Stored bytes that are not what was written are a [*DamageError]; see the
// package's comment for what is one. What visit was given before is true. Scan
// must not run beside a Writer of the same file.
func Scan(fsys vfs.FS, path string, o ScanOptions, visit func(Frame) error) (Report, error) {
	file, err := fsys.Open(path)
	if err != nil {
		return Report{}, fmt.Errorf("scan segment: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	s := scanner{window: window{file: file, chunk: o.withDefaults().ReadSize}, path: path, o: o.withDefaults()}
	if err := s.open(); err != nil {
		return Report{}, err
	}
	if err := s.frames(visit); err != nil {
		return Report{}, err
	}
	return s.report, nil
}

// scanner is one pass over one file.
type scanner struct {
	window
	path   string
	o      ScanOptions
	report Report
}

func (s *scanner) damage(offset int64, format string, args ...any) error {
	return &DamageError{Path: s.path, Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

// open reads the size and the header.
func (s *scanner) open() error {
	var err error
	if s.size, err = s.file.Size(); err != nil {
		return fmt.Errorf("scan segment %s: %w", s.path, err)
	}
	if s.o.End > 0 {
		s.size = min(s.size, s.o.End)
	}
	s.report.Size = s.size
	if s.report.Header, err = readHeader(s.file, s.path, s.o); err != nil {
		return err
	}
	s.report.End, s.report.synced = FirstFrame, FirstFrame
	return nil
}

func readHeader(file vfs.File, path string, o ScanOptions) (Header, error) {
	b := make([]byte, headerSize)
	n, err := file.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return Header{}, fmt.Errorf("read segment %s: %w", path, err)
	}
	h, err := decodeHeader(b[:n])
	switch {
	case errors.Is(err, ErrNewer):
		return Header{}, fmt.Errorf("segment %s: %w: this one reads format %d", path, err, version)
	case err != nil:
		return Header{}, &DamageError{Path: path, Reason: err.Error()}
	case o.Kind != 0 && h.Kind != o.Kind:
		return Header{}, fmt.Errorf("segment %s: is of kind %d, want %d", path, h.Kind, o.Kind)
	case o.Sequence != 0 && h.Sequence != o.Sequence:
		return Header{}, fmt.Errorf("%w: %s was written as number %d: give it its name back", hapax.ErrCorrupt, path, h.Sequence)
	}
	return h, nil
}

// frames visits the frames, then judges what is behind them.
func (s *scanner) frames(visit func(Frame) error) error {
	for {
		f, sum, ok, err := s.frame(s.report.End)
		switch {
		case err != nil:
			return err
		case !ok:
			return s.tail()
		case f.Type == typeSeal:
			return s.seal(f)
		}
		s.report.tally.add(len(f.Payload), sum)
		s.report.Frames, s.report.Bytes = s.report.tally.frames, s.report.tally.bytes
		s.report.End, s.report.synced = f.Next(), f.Synced
		if err := visit(f); err != nil {
			return err
		}
	}
}

// frame reads the frame at an offset, if there is a valid one.
func (s *scanner) frame(offset int64) (f Frame, sum uint32, ok bool, err error) {
	head, ok, err := s.head(offset)
	if !ok || err != nil {
		return Frame{}, 0, false, err
	}
	b, err := s.at(offset, int(head.size()))
	if err != nil {
		return Frame{}, 0, false, fmt.Errorf("scan segment %s: %w", s.path, err)
	}
	f, sum, ok = decodeFrame(b, head, s.report.Header.Salt, offset)
	return f, sum, ok, nil
}

// head reads the head of a frame that fits into the file, if there may be one.
func (s *scanner) head(offset int64) (frameHead, bool, error) {
	if s.size-offset < frameHeader {
		return frameHead{}, false, nil
	}
	b, err := s.at(offset, frameHeader)
	if err != nil {
		return frameHead{}, false, fmt.Errorf("scan segment %s: %w", s.path, err)
	}
	head, ok := decodeHead(b, s.report.Header.Salt, offset, s.o.MaxFrame)
	return head, ok && head.size() <= s.size-offset, nil
}

// seal judges a file whose frames end with a seal: it is all right if the file
// does too. Zeros are what a Seal leaves that did not come to its end.
func (s *scanner) seal(f Frame) error {
	want := encodeSeal(s.report.tally, s.report.Header.Salt, f.Offset)
	if !bytes.Equal(f.Payload, want[frameHeader:]) {
		return s.damage(FirstFrame, "the seal does not fit the frames before it")
	}
	last, err := s.lastNonzero(f.Next())
	switch {
	case err != nil:
		return err
	case last >= 0:
		return s.damage(f.Next(), "bytes behind the seal")
	case f.Next() < s.size && s.o.MustBeSealed:
		return s.damage(f.Next(), "the file goes on behind its seal")
	}
	s.report.synced = f.Synced
	s.report.Sealed = f.Next() == s.size
	return nil
}

// tail judges what is behind the last valid frame: nothing, an unfinished tail,
// or damage.
func (s *scanner) tail() error {
	end := s.report.End
	if err := s.almostSealed(end); err != nil {
		return err
	}
	if err := s.durableBehind(end); err != nil {
		return err
	}
	if s.o.MustBeSealed {
		return s.damage(end, "the file ends without its seal")
	}
	last, err := s.lastNonzero(end)
	if last >= 0 {
		s.report.Torn = last + 1 - end
	}
	return err
}

// almostSealed finds damage in a seal: the file has exactly the room for it at
// the end, as it never has before the seal is durable, and all but one of its
// words are there.
func (s *scanner) almostSealed(end int64) error {
	if s.size-end != sealSize {
		return nil
	}
	b, err := s.at(end, sealSize)
	if err != nil {
		return fmt.Errorf("scan segment %s: %w", s.path, err)
	}
	want := encodeSeal(s.report.tally, s.report.Header.Salt, end)
	same := 0
	for i := 0; i < sealSize; i += align {
		if bytes.Equal(b[i:i+align], want[i:i+align]) {
			same++
		}
	}
	if same >= sealSize/align-1 {
		return s.damage(end, "the seal is damaged")
	}
	return nil
}

// durableBehind finds damage at end: a frame behind it that was written when
// more than that was durable.
func (s *scanner) durableBehind(end int64) error {
	for off := end + align; s.size-off >= frameHeader; off += align {
		head, ok, err := s.head(off)
		if err != nil {
			return err
		}
		if !ok || head.synced <= end {
			continue
		}
		f, _, ok, err := s.frame(off)
		if err != nil {
			return err
		}
		if ok {
			return s.damage(end, "no frame, but the one at %d was written when all before %d was durable", f.Offset, f.Synced)
		}
	}
	return nil
}

// lastNonzero returns the offset of the last byte at or behind from that is not
// zero, or -1.
func (s *scanner) lastNonzero(from int64) (int64, error) {
	last := int64(-1)
	for off := from; off < s.size; {
		n := int(min(s.size-off, int64(s.chunk)))
		b, err := s.at(off, n)
		if err != nil {
			return 0, fmt.Errorf("scan segment %s: %w", s.path, err)
		}
		if i := lastNonzeroIn(b); i >= 0 {
			last = off + int64(i)
		}
		off += int64(n)
	}
	return last, nil
}

func lastNonzeroIn(b []byte) int {
	for len(b) >= align && binary.LittleEndian.Uint64(b[len(b)-align:]) == 0 {
		b = b[:len(b)-align]
	}
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return len(b) - 1
}

// window reads a file in big chunks.
type window struct {
	file  vfs.File
	size  int64
	chunk int

	buf  []byte // what was read last
	base int64  // where it stands in the file
}

// at returns n bytes of the file, valid until the next call. They must lie
// within its size.
func (w *window) at(off int64, n int) ([]byte, error) {
	if from := off - w.base; from >= 0 && from+int64(n) <= int64(len(w.buf)) {
		return w.buf[from : from+int64(n)], nil
	}
	var kept []byte
	if from := off - w.base; from >= 0 && from < int64(len(w.buf)) {
		kept = w.buf[from:]
	}
	want := int(min(max(int64(n), int64(w.chunk)), w.size-off))
	if cap(w.buf) < want {
		w.buf = append(make([]byte, 0, want), kept...)
	} else {
		w.buf = append(w.buf[:0], kept...)
	}
	have := len(w.buf)
	w.buf, w.base = slices.Grow(w.buf, want-have)[:want], off
	got, err := w.file.ReadAt(w.buf[have:], off+int64(have))
	if got < want-have {
		w.buf = w.buf[:0]
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return w.buf[:n], nil
}
