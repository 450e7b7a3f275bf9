// Package segment is an append-only file of checksummed frames, the storage of
// the ledger and of the broker's log.
//
//	┌────────┬───────┬───────┬─────────────┬───────┬───────┬────────────┐
//	│ header │ frame │ frame │ frame       │ frame │ frame │ 0 0 0 0 …  │ open
//	└────────┴───────┴───────┴─────────────┴───────┴───────┴────────────┘
//	                                       ▲ synced        ▲ flushed
//	┌────────┬───────┬───────┬─────────────┬───────┬───────┬──────┐
//	│ header │ frame │ frame │ frame       │ frame │ frame │ seal │      sealed
//	└────────┴───────┴───────┴─────────────┴───────┴───────┴──────┘
//
// A [Writer] made by [Create] or [OpenAppend] appends frames to an open file
// and at last seals it, or finishes it for a caller who keeps its [Ending]. [Scan] reads a file from its beginning, after a crash or
// not, and a [Reader] single frames. The format is drawn in format.go.
//
// # What a crash leaves
//
// The file system keeps what was synced, and of what was written since, any
// sectors in any mix (see package vfs). A file gets its name only with a durable
// header behind it. So whatever is not a frame begins an unfinished tail of
// which nobody was told that it is durable, and [Scan] reports it to be cut;
// except when something proves that it was durable once. Then it is damage, an
// error, and nothing behind it is served. The proofs are:
//
//   - The caller knows: the [Ending] of a file that it has ended, or that the
//     file must be sealed.
//   - A frame behind it. Each frame carries the offset that was known durable
//     when it was written out. Those of the group that was lost carry one in
//     front of the tail, for power loss may keep a later sector and lose an
//     earlier one; a later group's carry one behind it.
//   - The seal, which is a frame, and the size of the file, which is cut to end
//     with the seal only after the seal itself is durable.
//
// Hence a byte that changes in a sealed file is always an error. In an open one
// it is an error, or it costs frames of the last group that was written: those
// at or behind what was durable when the last flush began. A file whose end was
// cut off, at a frame's edge or not, and which nobody expects to be sealed,
// cannot be told from one that was never longer.
package segment

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// TempSuffix is what the name of a file ends in while [Create] makes it. After
// a crash such a file holds nothing and may be removed.
const TempSuffix = vfs.TempSuffix

var (
	// ErrSealed is the answer to an Append after Seal.
	ErrSealed = errors.New("segment is sealed")
	// ErrNewer is for a file of a format that only a newer program reads.
	ErrNewer = errors.New("written by a newer version")
	// ErrTooLarge is for a frame above [Options.MaxFrame].
	ErrTooLarge = errors.New("frame is too large")
	// ErrBadType is for an Append with a type that is not the caller's.
	ErrBadType = errors.New("frame type is reserved")
	// ErrNotWritten is for reading a frame that was not flushed yet.
	ErrNotWritten = errors.New("frame is not written yet")
)

// DamageError says where stored bytes are not what was written. It is a
// [hapax.ErrCorrupt].
type DamageError struct {
	Path   string
	Offset int64 // of the first byte in doubt
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s at offset %d: %s: %v: restore it from a backup", e.Path, e.Offset, e.Reason, hapax.ErrCorrupt)
}

// Is makes errors.Is(err, hapax.ErrCorrupt) true.
func (e *DamageError) Is(target error) bool { return target == hapax.ErrCorrupt }

// Header is what a file says of itself.
type Header struct {
	Kind     uint32    // what the frames are; the caller's
	Sequence uint64    // the caller's number for the file
	Owner    [16]byte  // whose file it is; the caller's
	Created  time.Time // to the nanosecond, between the years 1678 and 2262
	Salt     uint64    // makes the frames belong to this file; zero: Create draws one
}

// Frame is one record of a file.
type Frame struct {
	Type    uint8 // the caller's, 1 to [MaxType]
	Offset  int64 // where it begins
	Synced  int64 // the offset up to which the file was durable when it was written
	Payload []byte
}

// MaxType is the highest frame type that a caller may use. Zero is none.
const MaxType = typeSeal - 1

// Next returns the offset at which the frame after f begins.
func (f Frame) Next() int64 { return f.Offset + FrameSize(len(f.Payload)) }

// Options configures a file. The zero value works.
type Options struct {
	// MaxFrame bounds the payload of one frame in bytes (default 64 MiB). It
	// must not shrink over the life of a file.
	MaxFrame int
	// Prewrite is how many bytes of zeros a sync of a small group writes behind
	// it at most, so that the next syncs change no file size, which is faster
	// (default 1 MiB; negative: none). It writes as many as the file is long.
	Prewrite int
	// SmallGroup is the size in bytes below which a group, all that one sync
	// covers, is small (default 64 KiB).
	SmallGroup int
	// Before is called before frames are written to the file, by one caller at a time,
	// and nothing is if it returns an error: for frames that must not survive what
	// another log has lost. Nil: they may be written at once.
	Before func() error
}

func (o Options) withDefaults() Options {
	if o.MaxFrame <= 0 || o.MaxFrame > math.MaxInt32 {
		o.MaxFrame = 64 << 20
	}
	if o.Prewrite == 0 {
		o.Prewrite = 1 << 20
	}
	if o.SmallGroup <= 0 {
		o.SmallGroup = 64 << 10
	}
	return o
}
