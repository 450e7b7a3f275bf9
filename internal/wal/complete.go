package wal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hapaxmq/hapax/internal/segment"
)

// KindComplete is the kind of the frame that ends the snapshot of a log's file. It
// lists the files before it that are needed, oldest first:
//
//	v files, and for each
//	  v number
//	  v where its frames end
//	  8 chain of their checksums
const KindComplete = segment.MaxType

// Ended is a file that nothing more is appended to.
type Ended struct {
	Number uint64
	segment.Ending
}

var errComplete = errors.New("what the snapshot says of older files makes no sense")

func encodeComplete(older []Ended) []byte {
	b := binary.AppendUvarint(nil, uint64(len(older)))
	for _, e := range older {
		b = binary.AppendUvarint(b, e.Number)
		b = binary.AppendUvarint(b, uint64(e.End))
		b = binary.LittleEndian.AppendUint64(b, e.Chain)
	}
	return b
}

// leastEnded is the least bytes that an older file takes.
const leastEnded = 1 + 1 + 8

// decodeComplete reads what stands in the file with a number.
func decodeComplete(b []byte, file uint64) (older []Ended, err error) {
	number := func() (v uint64) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			err, b = errComplete, nil
			return 0
		}
		b = b[n:]
		return v
	}
	count, last := number(), uint64(0)
	if count > uint64(len(b)/leastEnded) {
		return nil, errComplete
	}
	for range count {
		e := Ended{Number: number()}
		e.End = int64(number())
		if err != nil || len(b) < 8 || e.Number <= last || e.Number >= file || e.End < segment.FirstFrame {
			return nil, errComplete
		}
		e.Chain, b = binary.LittleEndian.Uint64(b), b[8:]
		older, last = append(older, e), e.Number
	}
	if len(b) > 0 {
		err = errComplete
	}
	return older, err
}

// snapshot appends the owner's snapshot to a file, and that it is complete.
func (o *Options) snapshot(w *segment.Writer, older []Ended) (kept []Ended, gone []uint64, err error) {
	if err := o.state(w); err != nil {
		return nil, nil, err
	}
	return o.complete(w, older)
}

// state appends the owner's snapshot.
func (o *Options) state(w *segment.Writer) error {
	err := o.Snapshot(func(kind uint8, parts ...[]byte) error {
		if kind >= KindComplete {
			return fmt.Errorf("type %d: %w", kind, segment.ErrBadType)
		}
		_, err := w.Append(kind, parts...)
		return err
	})
	if err != nil {
		return fmt.Errorf("snapshot for %s: %w", w.Path(), err)
	}
	return nil
}

// complete ends a snapshot by the frame that lists those of the older files that
// are needed.
func (o *Options) complete(w *segment.Writer, older []Ended) (kept []Ended, gone []uint64, err error) {
	needed := o.Needed()
	for _, e := range older {
		if needed[e.Number] > 0 {
			kept = append(kept, e)
		} else {
			gone = append(gone, e.Number)
		}
	}
	_, err = w.Append(KindComplete, encodeComplete(kept))
	return kept, gone, err
}
