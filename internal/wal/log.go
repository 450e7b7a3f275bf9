package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"sync"
	"sync/atomic"

	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// ErrReadOnly is the answer to an Append and to waiting after a write or sync that
// failed: what was durable by then stays and can be read, and nothing more is taken
// until the log is opened again.
var ErrReadOnly = errors.New("the log is read-only until it is opened again")

// Add appends a frame of a snapshot.
type Add func(kind uint8, parts ...[]byte) error

// Options configures a [Log]. Kind and Snapshot must be given.
type Options struct {
	Kind uint32 // of the files: see [segment.Header]
	// FileSize is how many bytes of frames begin another file (default 128 MiB).
	// Opening reads one file.
	FileSize int64
	// Segment is how they are written, and bounds a frame; the zero value works.
	Segment segment.Options
	// MaxBuffered is how many bytes of frames gather in memory before the next Append
	// writes them out itself (default 2 MiB).
	MaxBuffered int
	// MustExist makes an empty directory an error: its log is gone.
	MustExist bool

	// Snapshot adds the state that a new file begins with: all that replaying the
	// files before it would give, but for what is read from them by its position.
	// It is called with nobody appending.
	Snapshot func(Add) error
	// Needed is called behind Snapshot, and tells how many bytes of each file are
	// still read by their positions; without an entry none is. Nil: there are none.
	Needed func() map[uint64]int64
	// Hold calls its argument while nobody appends, and returns its error; nil:
	// it is called at once. The log goes on in another file under it, which takes
	// as long as Snapshot and writing what is buffered.
	Hold func(func() error) error
	// Committed is told after each sync, by one goroutine, up to where the log is
	// durable. The first error is the last call: nothing behind synced will be.
	// Nil: nobody asks. It must not wait for [Log.Close].
	Committed func(synced int64, err error)
	// Listening tells whether Committed is to be told of a sync at all; who begins to
	// listen looks at [Log.Synced] first. It must not wait. Nil: always. To tell takes
	// a switch to another goroutine, which the caller of [Log.Sync] waits for.
	Listening func() bool
}

func (o Options) withDefaults() Options {
	if o.FileSize <= 0 {
		o.FileSize = 128 << 20
	}
	if o.MaxBuffered <= 0 {
		o.MaxBuffered = 2 << 20
	}
	if o.Hold == nil {
		o.Hold = func(f func() error) error { return f() }
	}
	if o.Needed == nil {
		o.Needed = func() map[uint64]int64 { return nil }
	}
	if o.Committed == nil {
		o.Committed = func(int64, error) {}
	}
	return o
}

// Position is where a frame stands.
type Position struct {
	File   uint64 // its number, never given twice
	Offset int64  // of the payload in it
	End    int64  // what to sync up to: an offset in the log, until it is closed
}

// Log is a durable log of frames over several files, which the owner reads by their
// positions for as long as it needs them.
//
//	┌──────────┬───┬───────┐  ┌──────────┬───┬───────┐  ┌──────────┬───┬───────
//	│ snapshot │ ■ │ frames│  │ snapshot │ ■ │ frames│  │ snapshot │ ■ │ frames …
//	└──────────┴───┴───────┘  └──────────┴───┴───────┘  └──────────┴───┴───────
//	 ■ the snapshot is complete, and these files before it are needed
//
// Append is short: it waits for no disk, unless more than MaxBuffered gathers. What
// is appended counts when a sync has covered it; one sync covers all who wait (see
// [Tail]). All methods may be called by several goroutines at once, but not from within
// the callbacks of Options.
type Log struct {
	o   Options
	dir string
	fs  vfs.FS
	r   *Roller

	files files // for readers

	gate  sync.Mutex // of Append; taken before mu
	mu    sync.Mutex // guards what follows; short; nothing is taken behind it but what w has
	w     *segment.Writer
	base  int64   // bytes in files before w's since the log was opened
	begun int64   // where the snapshot of w's file ends
	next  int64   // the size of w's file at which the background is called
	older []Ended // needed files before w's
	err   error   // the first failure

	spare  *segment.Writer // the next file; the background's
	wanted atomic.Int64    // what the committer is to sync

	calls    chan struct{} // for the background to look at what there is to do
	trim     atomic.Int64  // how many bytes of needless files are to go; 0: none
	over     atomic.Bool   // it is closed, or being closed
	syncs    chan struct{} // for the committer
	stop     chan struct{}
	rolling  sync.WaitGroup
	stopSync chan struct{}
	syncing  sync.WaitGroup
}

// Append adds a frame of one of the owner's kinds, 1 to 253, whose payload is the
// parts, one after the other. The parts stay the caller's. The frame is in memory
// only, and may be read by its position once the log is synced up to its end.
func (l *Log) Append(kind uint8, parts ...[]byte) (Position, error) {
	if kind >= KindComplete {
		return Position{}, fmt.Errorf("append to log %s: type %d: %w", l.dir, kind, segment.ErrBadType)
	}
	l.gate.Lock()
	defer l.gate.Unlock()
	if err := l.makeRoom(); err != nil {
		return Position{}, err
	}
	l.mu.Lock()
	if l.err != nil {
		defer l.mu.Unlock()
		return Position{}, l.err
	}
	w := l.w
	at, err := w.Append(kind, parts...)
	size := w.Size()
	p := Position{File: w.Header().Sequence, Offset: at + segment.PayloadAt, End: l.base + size}
	call := size >= l.next
	if call {
		l.next = math.MaxInt64
	}
	l.mu.Unlock()
	switch {
	case err != nil && w.Err() == nil: // too large
		return Position{}, err
	case err != nil:
		return Position{}, l.fail(err)
	case call:
		poke(l.calls)
	}
	return p, nil
}

// makeRoom writes out what has gathered, if that is much: those who append wait for
// it in turn, else all of them would add to it meanwhile. It must hold gate.
func (l *Log) makeRoom() error {
	l.mu.Lock()
	w, base := l.w, l.base
	l.mu.Unlock()
	if w.Buffered() <= l.o.MaxBuffered {
		return nil
	}
	if err := l.r.Flush(base + w.Size()); err != nil {
		return l.fail(err)
	}
	return nil
}

// Sync returns once the log up to end is durable.
func (l *Log) Sync(end int64) error {
	if err := l.r.Sync(end); err != nil {
		return l.fail(err)
	}
	return nil
}

// Want asks for the log up to end to be made durable, and does not wait:
// Options.Committed will be told.
func (l *Log) Want(end int64) {
	if !l.r.expect(end) {
		return
	}
	for was := l.wanted.Load(); was < end && !l.wanted.CompareAndSwap(was, end); {
		was = l.wanted.Load()
	}
	poke(l.syncs)
}

// End is the offset behind the last frame appended.
func (l *Log) End() int64 { return l.r.End() }

// Synced is the offset before which all of the log is durable.
func (l *Log) Synced() int64 { return l.r.Synced() }

// Err is the failure that made the log read-only, [fs.ErrClosed] after Close, or nil.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Newest is the number of the file that frames are appended to.
func (l *Log) Newest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Header().Sequence
}

// Older are the files before the newest that are kept, oldest first.
func (l *Log) Older() []Ended {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Ended(nil), l.older...)
}

// File opens the file with a number for reading. Release is to be called. A file
// that is not needed any more is an [fs.ErrNotExist].
func (l *Log) File(number uint64) (*File, error) { return l.files.acquire(number) }

// Trim has files removed that Options.Needed does not need any more, soon, if they
// have so many bytes, and more than what a new file begins with: else they go when
// the next file is begun.
func (l *Log) Trim(least int64) {
	l.trim.Store(max(least, 1))
	poke(l.calls)
}

// fail makes the log read-only, and returns why it is.
func (l *Log) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = fmt.Errorf("%w: %w", ErrReadOnly, err)
		poke(l.syncs)
	}
	return l.err
}

// poke makes sure that who listens will look once more.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// commit is the committer: it syncs for who does not wait, and tells Committed of
// all syncs, behind what is told.
func (l *Log) commit(told int64) {
	for over := false; !over; {
		select {
		case <-l.syncs:
		case <-l.stopSync:
			over = true
		}
		if want := l.wanted.Load(); want > l.Synced() {
			if err := l.r.Settle(want); err != nil {
				_ = l.fail(err) // it is told below
			}
		}
		synced, err := l.Synced(), l.Err()
		if synced > told || err != nil {
			told = synced
			l.o.Committed(synced, err)
		}
		over = over || err != nil
	}
}

// Close syncs everything, begins a file with nothing but a snapshot, so that opening
// is quick, and marks the log as closed. Nobody may be appending, and the caller
// holds nothing that Hold waits for. Files that are being read stay open until they
// are released. It returns the failure of a log that has failed, of which nothing more
// is written.
func (l *Log) Close() error {
	if l.over.Swap(true) {
		return nil
	}
	close(l.stop)
	l.rolling.Wait()
	close(l.stopSync)
	l.syncing.Wait()
	err := l.Err()
	if err == nil {
		err = l.end()
	}
	if err != nil {
		_ = l.w.Abandon() // what failed is said already
		if l.spare != nil {
			_ = l.spare.Abandon()
		}
	}
	l.files.closeAll()
	l.mu.Lock()
	l.err = fmt.Errorf("log %s: %w", l.dir, fs.ErrClosed)
	l.mu.Unlock()
	return err
}
