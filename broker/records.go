package broker

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/internal/wal"
)

// records reads batches where they stand in the log.
type records struct{ wal *wal.Log }

// load reads extents into memory.
func (rs *records) load(extents []partition.Extent) ([]byte, error) {
	open := openFiles{wal: rs.wal}
	defer open.release()
	var b []byte
	for i := range extents {
		file, err := open.file(extents[i].File)
		if err == nil {
			b, err = appendExtent(b, file, &extents[i])
		}
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

// timed reads an extent of a partition, and when its batches were appended.
func (rs *records) timed(e partition.Extent, number uint32) (b []byte, times partition.Times, err error) {
	all := e
	all.At, all.Length = e.At-partition.TimesHead, e.Length+partition.TimesHead
	if b, err = rs.load([]partition.Extent{all}); err != nil {
		return nil, times, err
	}
	before, b := b[:partition.TimesHead:partition.TimesHead], b[partition.TimesHead:]
	if n := partition.TimesLength(before, number); e.Run && n > 0 && n < min(all.At, int64(e.Length)) {
		others, err := rs.load([]partition.Extent{{File: e.File, At: all.At - n, Length: int32(n)}})
		if err != nil {
			return nil, times, err
		}
		before = append(others, before...)
	}
	return b, partition.ReadTimes(before, number), nil
}

func appendExtent(b []byte, file *wal.File, e *partition.Extent) ([]byte, error) {
	at, n := len(b), int(e.Length)
	if cap(b)-at < n {
		b = append(make([]byte, 0, 2*at+n), b...)
	}
	b = b[:at+n]
	if _, err := file.ReadAt(b[at:], e.At); err != nil {
		return b[:at], fmt.Errorf("read records: %w", err)
	}
	return b, nil
}

// narrow makes of a run what a reader is to be given from an offset on, up to most
// bytes; with first, one batch whatever its size. It may be nothing.
func (o *openFiles) narrow(e partition.Extent, offset int64, most int, first bool) (partition.Extent, error) {
	file, err := o.file(e.File)
	if err != nil {
		return e, err
	}
	b, err := appendExtent(nil, file, &e)
	if err != nil {
		return e, err
	}
	begin, end := 0, 0
	for end < len(b) {
		h, err := batch.ReadHeader(b[end:])
		if err == nil && h.Size() > len(b)-end {
			err = refuse(code.CorruptMessage, "a run of batches is cut off")
		}
		if err != nil {
			return e, err
		}
		if begin == end && end+h.Size() < len(b) {
			over, err := isOver(b[end:end+h.Size()], &h, offset)
			if err != nil {
				return e, err
			}
			if over {
				begin, end = end+h.Size(), end+h.Size()
				continue
			}
		}
		if end+h.Size()-begin > most && (end > begin || !first) {
			break
		}
		end += h.Size()
		e.Last = h.LastOffset()
	}
	e.At += int64(begin)
	e.Length = int32(end - begin)
	return e, nil
}

// errMoved says that a batch does not stand any more where it was looked up: it was
// deleted, or stands elsewhere.
var errMoved = errors.New("the records were moved")

// maxLooks is how often batches are looked up that move each time: at last a file
// of the log must be missing.
const maxLooks = 16

// openFiles are files of the log that somebody is about to read: they stay until
// they are released.
type openFiles struct {
	wal   *wal.Log
	files []*openFile
}

type openFile struct {
	number uint64
	*wal.File
}

// file opens a file, or finds it.
func (o *openFiles) file(number uint64) (*wal.File, error) {
	for _, f := range o.files {
		if f.number == number {
			return f.File, nil
		}
	}
	f, err := o.wal.File(number)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMoved
	}
	if err != nil {
		return nil, err
	}
	o.files = append(o.files, &openFile{number, f})
	return f, nil
}

func (o *openFiles) release() {
	for _, f := range o.files {
		f.Release()
	}
	o.files = nil
}

const (
	// leastSendfile is from how many bytes on a batch goes from its file to the
	// connection by itself: below that, copying it costs less than a system call.
	leastSendfile = 16 << 10
	// mostCopied is how many bytes are copied before they are written.
	mostCopied = 256 << 10
)

// sender writes a response to a connection: bytes, and batches from files between
// them.
type sender struct {
	to   net.Conn
	raw  *rawConn // nil: batches cannot be sent without copying them
	out  []byte   // what is to be written
	open *openFiles
}

// send writes the encoded bytes, with the batches in their gaps. An error leaves
// the connection in the middle of a response.
func (s *sender) send(b []byte, gaps []gap) error {
	last := 0
	for _, g := range gaps {
		s.out = append(s.out, b[last:g.at]...)
		last = g.at
		for i := range g.extents {
			if err := s.extent(&g.extents[i]); err != nil {
				return err
			}
		}
	}
	s.out = append(s.out, b[last:]...)
	return s.flush()
}

func (s *sender) extent(e *partition.Extent) error {
	file, err := s.open.file(e.File)
	if err != nil {
		return err
	}
	if system := file.System(); system != nil && s.raw != nil && e.Length >= leastSendfile {
		if err := s.flush(); err != nil {
			return err
		}
		return s.raw.sendfile(system, e.At, int(e.Length))
	}
	if s.out, err = appendExtent(s.out, file, e); err != nil {
		return err
	}
	if len(s.out) >= mostCopied {
		return s.flush()
	}
	return nil
}

func (s *sender) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	n, err := s.to.Write(s.out)
	if err == nil && n < len(s.out) {
		err = io.ErrShortWrite
	}
	s.out = s.out[:0]
	return err
}
