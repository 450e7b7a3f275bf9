package wal

import (
	"fmt"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// Verify reads all of the log in dir, the files that opening leaves alone too, and
// changes nothing. Of the options it heeds Kind, Segment and MustExist. Nobody may
// have the log open. After a clean close any byte that is not as it was is an error;
// after a crash the end of the newest file may be unfinished.
func Verify(fsys vfs.FS, dir string, o Options) error {
	if fsys == nil {
		fsys = vfs.OS()
	}
	op := opening{l: &Log{o: o, dir: dir, fs: fsys}}
	if err := op.verify(); err != nil {
		return fmt.Errorf("verify log %s: %w", dir, err)
	}
	return nil
}

func (op *opening) verify() error {
	if err := op.survey(); err != nil || op.newest == nil {
		return err
	}
	for _, e := range op.older {
		path := Path(op.l.dir, e.Number)
		o := segment.ScanOptions{Kind: op.l.o.Kind, Sequence: e.Number, MaxFrame: op.l.o.Segment.MaxFrame, End: e.End}
		r, err := segment.Scan(op.l.fs, path, o, func(segment.Frame) error { return nil })
		if err != nil {
			return err
		}
		if r.End != e.End {
			return &segment.DamageError{Path: path, Offset: r.End, Reason: "no frame, and the file was whole when the next was begun"}
		}
		if r.Ending() != e.Ending {
			return fmt.Errorf("%w: %s has other frames than when the next was begun: restore it from a backup", hapax.ErrCorrupt, path)
		}
	}
	return nil
}
