package segment

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// maxSpare bounds the buffer that a Writer keeps from one flush to the next.
const maxSpare = 4 << 20

// leastPrewrite is the least number of zeros written ahead.
const leastPrewrite = 64 << 10

// zeros is what is written ahead. Nobody writes into it.
var zeros [256 << 10]byte

// Writer appends frames to one file. All methods may be called by several
// goroutines at once.
//
// A frame goes through three stages, whose offsets never go back and which obey
// Synced ≤ Flushed ≤ Size:
//
//	Append  encoded in the buffer         Size     short, under mu
//	Flush   with the operating system     Flushed  the io mutex, and mu to swap buffers
//	Sync    durable                       Synced   the syncs mutex; io to flush, and mu to note it
//
// Flushes take turns, and so do syncs; a flush waits for no sync. Append waits
// for neither: while one buffer is written and synced, frames gather in the
// other, which is the next group. So a caller appends under its own lock, leaves
// it, and calls Sync from one goroutine on behalf of all who wait. The buffer has
// no bound: hold back appends when [Writer.Buffered] is too much.
//
// After a write or sync that failed nothing is known of the bytes behind
// Synced. The writer is failed for good, and every method returns that first
// error. Only [Scan] and [OpenAppend] can tell what became of the file.
type Writer struct {
	file   vfs.File
	path   string
	header Header
	opts   Options

	syncs sync.Mutex // held over syncing; taken before io

	io    sync.Mutex // held over writing; guards what follows
	spare []byte     // the buffer that is not gathering
	size  int64      // of the file, zeros written ahead included
	tally tally

	gathering
}

// Create makes a file with this header. On return the file, its name and its
// header are durable. It is made under a name that ends in [TempSuffix], where
// one left by a crash is overwritten. A path that is taken is an
// [fs.ErrExist].
func Create(fsys vfs.FS, path string, h Header, o Options) (*Writer, error) {
	if h.Salt == 0 {
		h.Salt = randomSalt()
	}
	file, err := create(fsys, path, encodeHeader(h))
	if err != nil {
		return nil, fmt.Errorf("create segment %s: %w", path, err)
	}
	return newWriter(file, path, h, o), nil
}

// create makes a file that has either its name with this header behind it, or no
// name, and opens it.
func create(fsys vfs.FS, path string, header []byte) (file vfs.File, err error) {
	if _, err := fsys.Stat(path); err == nil {
		return nil, fs.ErrExist
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err = vfs.Replace(fsys, path, header); err == nil {
		file, err = fsys.OpenRW(path)
	}
	if err != nil {
		_ = fsys.Remove(path) // if that fails too, it is a segment without frames
	}
	return file, err
}

func newWriter(file vfs.File, path string, h Header, o Options) *Writer {
	return &Writer{
		file: file, path: path, header: h, opts: o.withDefaults(), size: headerSize,
		gathering: gathering{end: headerSize, flushed: headerSize, synced: headerSize},
	}
}

func randomSalt() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return binary.LittleEndian.Uint64(b[:]) | 1
}

// Append encodes a frame whose payload is the parts, one after the other, and
// returns the offset at which it will stand. The parts stay the caller's. The
// frame is in memory only: see [Writer.Flush] and [Writer.Sync].
func (w *Writer) Append(kind uint8, parts ...[]byte) (offset int64, err error) {
	length := 0
	for _, p := range parts {
		length += len(p)
	}
	switch {
	case kind == 0 || kind > MaxType:
		return 0, fmt.Errorf("append to segment %s: type %d: %w", w.path, kind, ErrBadType)
	case length > w.opts.MaxFrame:
		return 0, fmt.Errorf("append to segment %s: %d bytes, at most %d: %w", w.path, length, w.opts.MaxFrame, ErrTooLarge)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil:
		return 0, w.err
	case w.sealing:
		return 0, fmt.Errorf("append to segment %s: %w", w.path, ErrSealed)
	}
	offset = w.end
	w.buf = appendFrame(w.buf, kind, length, parts...)
	w.end += FrameSize(length)
	return offset, nil
}

// Flush hands all frames appended before the call to the operating system in
// one write. They survive the end of the process, not power loss.
func (w *Writer) Flush() error {
	w.io.Lock()
	defer w.io.Unlock()
	return w.flush()
}

// Sync makes all frames appended before the call durable. With nothing to do it
// costs nothing.
func (w *Writer) Sync() error {
	w.syncs.Lock()
	defer w.syncs.Unlock()
	return w.sync()
}

// Ending flushes, and tells where the frames end by now and which they are.
func (w *Writer) Ending() (Ending, error) {
	w.io.Lock()
	defer w.io.Unlock()
	if err := w.flush(); err != nil {
		return Ending{}, err
	}
	return w.tally.ending(w.Flushed()), nil
}

// Reserve writes zeros ahead up to an offset, and makes them durable: a piece at
// a time, so that other files' syncs find their turn between.
func (w *Writer) Reserve(size int64) error {
	w.syncs.Lock()
	defer w.syncs.Unlock()
	for more := true; more; {
		w.io.Lock()
		err := w.Err()
		if more = err == nil && w.size < size; more {
			err = w.extend(min(size, w.size+int64(len(zeros))))
		}
		w.io.Unlock()
		if err == nil && more {
			err = w.syncFile()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) flush() error {
	group, at, synced, err := w.take()
	if err != nil || len(group) == 0 {
		return err
	}
	if before := w.opts.Before; before != nil {
		if err := before(); err != nil {
			return w.fail("write", err)
		}
	}
	for off := int64(0); off < int64(len(group)); {
		sum, size := stamp(group[off:], w.header.Salt, at+off, synced)
		w.tally.add(int(binary.LittleEndian.Uint32(group[off+8:])), sum)
		off += size
	}
	if _, err := w.file.WriteAt(group, at); err != nil {
		return w.fail("write", err)
	}
	w.size = max(w.size, at+int64(len(group)))
	if cap(group) <= maxSpare {
		w.spare = group[:0]
	}
	w.mu.Lock()
	w.flushed, w.flushing = at+int64(len(group)), nil
	w.mu.Unlock()
	return nil
}

// take swaps the buffers: the frames gathered are the caller's now.
func (w *Writer) take() (group []byte, at, synced int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return nil, 0, 0, w.err
	}
	group, w.buf, w.spare = w.buf, w.spare, nil
	w.flushing = group
	if len(group) == 0 {
		w.spare = group
	}
	return group, w.flushed, w.synced, nil
}

// extend writes zeros up to an offset.
func (w *Writer) extend(size int64) error {
	for w.size < size {
		n, err := w.file.WriteAt(zeros[:min(size-w.size, int64(len(zeros)))], w.size)
		if err != nil {
			return w.fail("extend", err)
		}
		w.size += int64(n)
	}
	return nil
}

// sync must hold syncs.
func (w *Writer) sync() error {
	w.io.Lock()
	more, err := w.group()
	w.io.Unlock()
	if err != nil || !more {
		return err
	}
	return w.syncFile()
}

// group flushes what a sync is to cover, and tells whether there is anything. It
// must hold io.
func (w *Writer) group() (more bool, err error) {
	if err := w.flush(); err != nil {
		return false, err
	}
	w.mu.Lock()
	flushed, synced := w.flushed, w.synced
	w.mu.Unlock()
	if flushed == synced {
		return false, nil
	}
	if flushed == w.size && flushed-synced < int64(w.opts.SmallGroup) && w.opts.Prewrite > 0 {
		// What was written ahead is used up. One sync covers the group and the
		// zeros for those to come.
		return true, w.extend(flushed + w.prewrite(flushed))
	}
	return true, nil
}

// prewrite is how many zeros to write behind an offset: as much as the file
// holds, so that the first sync of a file takes hardly longer than others.
func (w *Writer) prewrite(at int64) int64 {
	return min(max(at, leastPrewrite), int64(w.opts.Prewrite))
}

// syncFile syncs what is flushed. It must hold syncs.
func (w *Writer) syncFile() error {
	flushed := w.Flushed() // what comes meanwhile is not covered
	if err := w.file.Sync(); err != nil {
		return w.fail("sync", err)
	}
	w.mu.Lock()
	w.synced = flushed
	w.mu.Unlock()
	return nil
}

func (w *Writer) fail(verb string, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at := (*fs.PathError)(nil); errors.As(err, &at) && at.Path == w.path {
		err = at.Err // the path is said below
	}
	if w.err == nil {
		w.err = fmt.Errorf("%s segment %s: %w", verb, w.path, err)
	}
	return w.err
}

// Seal ends the file: it makes all frames durable, adds their tally and cuts
// off the zeros written ahead. From its return on, any byte that changes in the
// file is found by [Scan]. There is no Append after it; a second Seal does
// nothing. Close is still to be called.
//
// Its three syncs must stay in this order. The file is longer than the seal
// will be before the seal is written, and it is cut to end with the seal only
// when the seal is durable: so a file that ends where a seal would end, with
// something there that is almost one, had it whole.
func (w *Writer) Seal() error {
	w.syncs.Lock()
	defer w.syncs.Unlock()
	w.io.Lock()
	defer w.io.Unlock()
	w.mu.Lock()
	sealed := w.sealing && w.err == nil
	w.sealing = true
	w.mu.Unlock()
	if sealed {
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	at := w.Flushed()
	end := at + sealSize
	if w.size <= end {
		if err := w.extend(end + align); err != nil {
			return err
		}
	}
	if err := w.syncFile(); err != nil {
		return err
	}
	if _, err := w.file.WriteAt(encodeSeal(w.tally, w.header.Salt, at), at); err != nil {
		return w.fail("seal", err)
	}
	if err := w.syncFile(); err != nil {
		return err
	}
	if err := w.file.Truncate(end); err != nil {
		return w.fail("seal", err)
	}
	w.size = end
	w.mu.Lock()
	w.end, w.flushed = end, end
	w.mu.Unlock()
	return w.syncFile()
}

// Finish ends a file without a seal, for who keeps its [Ending] where it is as
// safe: it makes all frames durable, cuts off the zeros written ahead, and closes
// the file. That they are cut off need not be durable on return: [Scan] takes
// zeros behind the frames for none.
func (w *Writer) Finish() error {
	return w.close(func() error {
		if err := w.syncAll(); err != nil {
			return err
		}
		end := w.Flushed()
		if w.size == end {
			return nil
		}
		if err := w.file.Truncate(end); err != nil {
			return w.fail("cut", err)
		}
		w.size = end
		return nil
	})
}

// Close makes what was appended durable, without sealing, and closes the file.
// A failed writer is only closed, and its error returned.
func (w *Writer) Close() error { return w.close(w.syncAll) }

// Abandon closes the file and writes nothing more: frames that were not flushed
// are gone.
func (w *Writer) Abandon() error { return w.close(func() error { return nil }) }

// syncAll must hold syncs and io.
func (w *Writer) syncAll() error {
	more, err := w.group()
	if err == nil && more {
		err = w.syncFile()
	}
	return err
}

// close takes a last step and closes the file.
func (w *Writer) close(last func() error) error {
	w.syncs.Lock()
	defer w.syncs.Unlock()
	w.io.Lock()
	defer w.io.Unlock()
	if w.isClosed() {
		return nil
	}
	err := last()
	w.mu.Lock()
	w.closed = true
	w.buf = nil
	if w.err == nil {
		w.err = fmt.Errorf("segment %s: %w", w.path, fs.ErrClosed)
	}
	w.mu.Unlock()
	w.spare = nil
	return errors.Join(err, w.file.Close())
}

// Header returns the file's header.
func (w *Writer) Header() Header { return w.header }

// Path returns the name the file was made or opened by.
func (w *Writer) Path() string { return w.path }

// Allocated returns the bytes that the file takes, zeros written ahead
// included. It waits for a flush that is under way.
func (w *Writer) Allocated() int64 {
	w.io.Lock()
	defer w.io.Unlock()
	return w.size
}
