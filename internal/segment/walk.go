package segment

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// ErrStop ends a [Walk] or [Writer.WalkUnflushed] that has seen enough; both return
// nil then.
var ErrStop = errors.New("segment: stop")

// Walk hands the frames from an offset on to visit, in order: the offset is one that
// [Writer.Append] or [Scan] gave, and frames end at o.End, which is not behind what a
// Writer of the same file has flushed. The payload is visit's until it returns.
// Anything but valid frames is a [*DamageError].
func Walk(fsys vfs.FS, path string, o ScanOptions, from int64, visit func(Frame) error) error {
	file, err := fsys.Open(path)
	if err != nil {
		return fmt.Errorf("walk segment: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	s := scanner{window: window{file: file, chunk: o.withDefaults().ReadSize}, path: path, o: o.withDefaults()}
	if err := s.open(); err != nil {
		return err
	}
	for at := from; at < s.size; {
		f, _, ok, err := s.frame(at)
		switch {
		case err != nil:
			return err
		case !ok || f.Type == typeSeal:
			return s.damage(at, "no frame begins here")
		}
		if err := visit(f); err != nil {
			return stopped(err)
		}
		at = f.Next()
	}
	return nil
}

// WalkUnflushed hands those frames to visit, in order, that are in memory alone and
// begin at an offset or behind it. Append waits for it, and visit must not call the
// writer.
func (w *Writer) WalkUnflushed(from int64, visit func(Frame) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.flushed
	for _, group := range [][]byte{w.flushing, w.buf} {
		for len(group) > 0 {
			length := int(binary.LittleEndian.Uint32(group[8:]))
			if at >= from {
				f := Frame{Type: group[12], Offset: at, Payload: group[frameHeader : frameHeader+length]}
				if err := visit(f); err != nil {
					return stopped(err)
				}
			}
			size := FrameSize(length)
			group, at = group[size:], at+size
		}
	}
	return nil
}

func stopped(err error) error {
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}
