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
//	Sync    durable                       Synced   the io mutex, and mu to note it
//
// Flush, Sync, Seal and Close take turns. Append waits for none of them: while
// one buffer is written and synced, frames gather in the other, which is the
// next group. So a caller appends under its own lock, leaves it, and calls Sync
// from one goroutine on behalf of all who wait. The buffer has no bound: hold
// back appends when [Writer.Buffered] is too much.
//
// After a write or sync that failed nothing is known of the bytes behind
// Synced. The writer is failed for good, and every method returns that first
// error. Only [Scan] and [OpenAppend] can tell what became of the file.
type Writer struct {
	file   vfs.File
	path   string
	header Header
	opts   Options

	io    sync.Mutex // held over writing and syncing; guards what follows
	spare []byte     // the buffer that is not gathering
	size  int64      // of the file, zeros written ahead included
	tally tally

	mu      sync.Mutex // guards what follows; taken after io
	buf     []byte     // frames that are not flushed
	end     int64      // where the next frame will begin
	flushed int64
	synced  int64
	sealing bool // no more frames
	closed  bool
	err     error // the first failure
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
		file: file, path: path, header: h, opts: o.withDefaults(),
		size: headerSize, end: headerSize, flushed: headerSize, synced: headerSize,
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
	w.io.Lock()
	defer w.io.Unlock()
	return w.sync()
}

func (w *Writer) flush() error {
	group, at, synced, err := w.take()
	if err != nil || len(group) == 0 {
		return err
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
	w.flushed = at + int64(len(group))
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

func (w *Writer) sync() error {
	if err := w.flush(); err != nil {
		return err
	}
	w.mu.Lock()
	flushed, synced := w.flushed, w.synced
	w.mu.Unlock()
	if flushed == synced {
		return nil
	}
	if flushed == w.size && flushed-synced < int64(w.opts.SmallGroup) && w.opts.Prewrite > 0 {
		// What was written ahead is used up. One sync covers the group and the
		// zeros for those to come.
		if err := w.extend(flushed + int64(w.opts.Prewrite)); err != nil {
			return err
		}
	}
	return w.syncFile()
}

// syncFile syncs what is flushed.
func (w *Writer) syncFile() error {
	if err := w.file.Sync(); err != nil {
		return w.fail("sync", err)
	}
	w.mu.Lock()
	w.synced = w.flushed
	w.mu.Unlock()
	return nil
}

func (w *Writer) fail(verb string, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = fmt.Errorf("%s segment %s: %w: open it again to go on", verb, w.path, err)
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

// Close makes what was appended durable, without sealing, and closes the file.
// A failed writer is only closed, and its error returned.
func (w *Writer) Close() error {
	w.io.Lock()
	defer w.io.Unlock()
	if w.isClosed() {
		return nil
	}
	err := w.sync()
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

func (w *Writer) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// Header returns the file's header.
func (w *Writer) Header() Header { return w.header }

// Path returns the name the file was made or opened by.
func (w *Writer) Path() string { return w.path }

// Size returns the offset of the next frame: what the file will hold once
// flushed, without the zeros written ahead.
func (w *Writer) Size() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.end
}

// Flushed returns the offset before which all is with the operating system.
func (w *Writer) Flushed() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flushed
}

// Synced returns the offset before which all is durable.
func (w *Writer) Synced() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.synced
}

// Buffered returns the bytes of frames in memory that no flush has taken.
func (w *Writer) Buffered() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.buf)
}

// Allocated returns the bytes that the file takes, zeros written ahead
// included. It waits for a flush or sync that is under way.
func (w *Writer) Allocated() int64 {
	w.io.Lock()
	defer w.io.Unlock()
	return w.size
}

// Err returns the error that failed the writer, or nil.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
