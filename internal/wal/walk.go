package wal

import (
	"github.com/hapaxmq/hapax/internal/segment"
)

// Walk hands the frames of l's files from a number on to visit, in their order, as
// far as the log is durable when it is called: those of snapshots too, but for what
// says that one is complete. What [Options.Needed] does not ask for may be gone.
func Walk(l *Log, from uint64, visit func(Frame) error) error {
	l.mu.Lock()
	files := append([]Ended(nil), l.older...)
	newest := l.w.Header().Sequence
	files = append(files, Ended{newest, segment.Ending{End: l.w.Synced()}})
	l.mu.Unlock()
	for _, f := range files {
		if f.Number < from {
			continue
		}
		if err := walkFile(l, f, visit); err != nil {
			return err
		}
	}
	return nil
}

func walkFile(l *Log, f Ended, visit func(Frame) error) error {
	o := segment.ScanOptions{Kind: l.o.Kind, Sequence: f.Number, MaxFrame: l.o.Segment.MaxFrame}
	r, err := segment.OpenReader(l.fs, Path(l.dir, f.Number), o)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // it was only read
	var buf []byte
	for at := int64(segment.FirstFrame); at < f.End; {
		frame, err := r.FrameAt(at, buf)
		if err != nil {
			return err
		}
		if frame.Type != KindComplete {
			err := visit(Frame{Kind: frame.Type, Payload: frame.Payload, File: f.Number, Offset: at + segment.PayloadAt})
			if err != nil {
				return err
			}
		}
		at = frame.Next()
		if size := segment.FrameSize(len(frame.Payload)); size > int64(cap(buf)) {
			buf = make([]byte, 2*size)
		}
	}
	return nil
}
