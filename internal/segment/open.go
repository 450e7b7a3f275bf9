package segment

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// OpenAppend opens a file for more frames after [Scan] gave the report. What
// the report counts as frames, and the file's name, is durable on return, and
// all else is gone from the file: an unfinished tail, zeros written ahead, a seal.
//
// What no frame proves to be durable is not only synced but written again. After
// a failed sync, the operating system may hold as clean what the disk never
// got, and would sync nothing (Rebello et al., "Can Applications Recover from
// fsync Failures?", 2020).
func OpenAppend(fsys vfs.FS, path string, r Report, o Options) (*Writer, error) {
	file, err := fsys.OpenRW(path)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	w := newWriter(file, path, r.Header, o)
	w.tally = r.tally
	w.size, w.end, w.flushed, w.synced = r.End, r.End, r.End, r.End
	err = w.settle(r)
	if err == nil {
		err = fsys.SyncDir(filepath.Dir(path)) // a Create may have been killed before it did
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open segment %s: %w", path, err), file.Close())
	}
	return w, nil
}

// settle makes the file what the report says, and durable.
func (w *Writer) settle(r Report) error {
	size, err := w.file.Size()
	if err != nil {
		return err
	}
	if size != r.Size {
		return fmt.Errorf("file changed after it was scanned: %d bytes, had %d", size, r.Size)
	}
	if err := rewrite(w.file, r.synced, r.End); err != nil {
		return err
	}
	if size != r.End {
		if err := w.file.Truncate(r.End); err != nil {
			return err
		}
	}
	return w.file.Sync()
}

// rewrite writes a part of a file over itself.
func rewrite(file vfs.File, from, to int64) error {
	if from >= to {
		return nil
	}
	buf := make([]byte, min(to-from, 1<<20))
	for from < to {
		b := buf[:min(to-from, int64(len(buf)))]
		if n, err := file.ReadAt(b, from); n < len(b) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if _, err := file.WriteAt(b, from); err != nil {
			return err
		}
		from += int64(len(b))
	}
	return nil
}

// Reader reads single frames of a file. Its methods may be called by several
// goroutines at once, and beside a Writer of the same file for frames that are
// flushed.
type Reader struct {
	file   vfs.File
	path   string
	header Header
	limit  int
}

// OpenReader opens a file and checks its header. Of the options it heeds Kind,
// Sequence and MaxFrame.
func OpenReader(fsys vfs.FS, path string, o ScanOptions) (*Reader, error) {
	file, err := fsys.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	h, err := readHeader(file, path, o)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Reader{file: file, path: path, header: h, limit: o.withDefaults().MaxFrame}, nil
}

// Header returns the file's header.
func (r *Reader) Header() Header { return r.header }

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }

// FrameAt reads the frame at an offset that [Writer.Append] or [Scan] gave. The
// payload is a part of buf if buf is long enough for the whole frame, and new
// otherwise. Anything but a valid frame of the caller's is a [*DamageError].
func (r *Reader) FrameAt(offset int64, buf []byte) (Frame, error) {
	return readFrame(r.file, r.path, r.header.Salt, r.limit, offset, buf)
}

// FrameAt is [Reader.FrameAt] through the writer's own file. A frame that is
// not flushed yet is an [ErrNotWritten].
func (w *Writer) FrameAt(offset int64, buf []byte) (Frame, error) {
	if offset >= w.Flushed() {
		return Frame{}, fmt.Errorf("read segment %s at offset %d: %w", w.path, offset, ErrNotWritten)
	}
	return readFrame(w.file, w.path, w.header.Salt, w.opts.MaxFrame, offset, buf)
}

// firstRead is how much is read of a frame before its length is known.
const firstRead = 4 << 10

func readFrame(file vfs.File, path string, salt uint64, limit int, offset int64, buf []byte) (Frame, error) {
	damage := func(reason string) error { return &DamageError{Path: path, Offset: offset, Reason: reason} }
	if offset < FirstFrame || offset%align != 0 {
		return Frame{}, damage("no frame begins here")
	}
	buf = buf[:cap(buf)]
	if len(buf) < frameHeader {
		buf = make([]byte, firstRead)
	}
	n, err := readSome(file, buf[:min(len(buf), firstRead)], offset)
	if err != nil {
		return Frame{}, fmt.Errorf("read segment %s: %w", path, err)
	}
	head, ok := decodeHead(buf[:n], salt, offset, limit)
	if !ok || head.kind == typeSeal {
		return Frame{}, damage("no frame begins here")
	}
	size := int(head.size())
	if size > len(buf) {
		buf = append(make([]byte, 0, size), buf[:n]...)[:size]
	}
	if size > n {
		more, err := readSome(file, buf[n:size], offset+int64(n))
		if err != nil {
			return Frame{}, fmt.Errorf("read segment %s: %w", path, err)
		}
		if n += more; n < size {
			return Frame{}, damage("the file ends within the frame")
		}
	}
	f, _, ok := decodeFrame(buf[:size], head, salt, offset)
	if !ok {
		return Frame{}, damage("frame does not match its checksum")
	}
	return f, nil
}

// readSome fills b as far as the file goes.
func readSome(file vfs.File, b []byte, offset int64) (int, error) {
	n, err := file.ReadAt(b, offset)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}
