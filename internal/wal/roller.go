package wal

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// RollerOptions says what a log's files are.
type RollerOptions struct {
	FS   vfs.FS
	Dir  string
	Kind uint32 // of the files: see [segment.Header]
	// Zeros tells whether they are written ahead into a file before it is begun: of
	// use where frames are synced.
	Zeros   bool
	Segment segment.Options
}

// Roller makes, ends and removes the files of a log while nobody waits for it:
//
//	caller, under its lock                     background
//
//	a file is half full        ── Prepare ──▶  the next file: header, name, zeros, all durable
//	it is full: the next frame
//	goes to the next file      ── Later ────▶  Retire: all of the file before is durable, then the
//	                                           beginning of the newest; the one before is cut to
//	                                           its frames and closed; files that are needed no
//	                                           more are deleted
//
// So at any time there is the newest file, and there may be one behind it without
// a frame. Asked, Prepare, Take and FinishRolls are called under the caller's lock,
// which nothing that the background does may take.
type Roller struct {
	Tail
	o RollerOptions

	chores  chan func() error // the background's, in their order
	next    chan nextFile     // the next file when it is made; nil: nobody was asked
	spare   *segment.Writer   // the next file
	removed bool              // names since the directory was synced; the background's until it is over
}

// nextFile is what the background has made.
type nextFile struct {
	w   *segment.Writer
	err error
}

const (
	// maxChores is more than a log has whose files fill one after the other: one is
	// made and one retired at a time, and a sync goes first if there is nothing else
	// to do. Who begins several at once waits for the background with its lock held,
	// which no chore takes.
	maxChores = 4
	// MaxReserve is how many zeros are written into a file before it is begun.
	MaxReserve = 16 << 20
)

// NewRoller returns the roller of a log without files.
func NewRoller(o RollerOptions) *Roller {
	r := &Roller{o: o, chores: make(chan func() error, maxChores)}
	r.init()
	return r
}

// Create makes the file with a number, empty.
func (r *Roller) Create(number uint64) (*segment.Writer, error) {
	h := segment.Header{Kind: r.o.Kind, Sequence: number}
	return segment.Create(r.o.FS, Path(r.o.Dir, number), h, r.o.Segment)
}

// Asked tells whether the next file is made, or being made.
func (r *Roller) Asked() bool { return r.spare != nil || r.next != nil }

// Prepare has the next file made, of that number and to hold so many bytes, and
// tells whether it is.
func (r *Roller) Prepare(number uint64, bytes int64) (made bool, err error) {
	switch {
	case r.spare != nil:
		return true, nil
	case r.next == nil:
		next, end := make(chan nextFile, 1), r.End()
		r.next = next
		r.Later(func() error {
			w, err := r.Make(number, bytes, end)
			next <- nextFile{w, err} // an error is told to who takes it
			return nil
		})
		return false, nil
	}
	select {
	case next := <-r.next:
		r.next, r.spare = nil, next.w
		return next.err == nil, next.err
	default:
		return false, nil
	}
}

// Make makes the file with a number once the log is durable up to end, and writes
// zeros ahead for so many bytes.
func (r *Roller) Make(number uint64, bytes, end int64) (*segment.Writer, error) {
	if err := r.Settle(end); err != nil {
		return nil, err
	}
	w, err := r.Create(number)
	if err != nil || !r.o.Zeros {
		return w, err
	}
	return r.reserve(w, min(bytes, MaxReserve))
}

// reserve writes zeros ahead into a new file. If the disk has no room for so many
// it is made again without: its frames may still fit.
func (r *Roller) reserve(w *segment.Writer, size int64) (*segment.Writer, error) {
	err := w.Reserve(size)
	if !vfs.IsFull(err) {
		return w, err
	}
	if err := errors.Join(w.Abandon(), r.o.FS.Remove(w.Path())); err != nil {
		return nil, err
	}
	return r.Create(w.Header().Sequence)
}

// Take is the next file, of that number. If it is not made, nor being made, that
// is done now.
func (r *Roller) Take(number uint64) (*segment.Writer, error) {
	if r.spare == nil && r.next != nil {
		made := <-r.next
		if r.next, r.spare = nil, made.w; made.err != nil {
			return nil, made.err
		}
	}
	if w := r.spare; w != nil {
		r.spare = nil
		return w, nil
	}
	if err := r.Settle(r.End()); err != nil {
		return nil, err
	}
	return r.Create(number)
}

// Retire ends a file and deletes others, once the log is durable up to the end of
// what knows of it in a newer file.
func (r *Roller) Retire(last *segment.Writer, end int64, gone []string) error {
	if err := r.Settle(end); err != nil {
		return errors.Join(err, last.Close())
	}
	if err := last.Finish(); err != nil {
		return err
	}
	return r.Remove(gone)
}

// Remove deletes files, by their paths, that nothing durable needs.
func (r *Roller) Remove(paths []string) error {
	for _, path := range paths {
		r.removed = true
		if err := r.o.FS.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete expired %s: %w", path, err)
		}
	}
	return nil
}

// SyncRemoved makes it durable that files were removed, once there is no background
// any more.
func (r *Roller) SyncRemoved() error {
	if !r.removed {
		return nil
	}
	return r.o.FS.SyncDir(r.o.Dir)
}

// Later gives the background something to do.
func (r *Roller) Later(chore func() error) { r.chores <- chore }

// SettleSoon has the background, if it has nothing else to do, make durable what is
// in the log.
func (r *Roller) SettleSoon() {
	if len(r.chores) == 0 {
		end := r.End()
		r.Later(func() error { return r.Settle(end) })
	}
}

// Work is the background: it does what there is to do until stop, what there is by
// then included, and hands on what fails. Who holds the caller's lock may be waiting
// for the next chore: failed must not wait for it.
func (r *Roller) Work(stop <-chan struct{}, failed func(error)) {
	for {
		select {
		case chore := <-r.chores:
			if err := chore(); err != nil {
				failed(err)
			}
		case <-stop:
			if len(r.chores) == 0 {
				return
			}
		}
	}
}

// FinishRolls does what is left to do when there is no background any more, and
// removes the next file, of that number, if it was begun. That it could not be made
// is of no account then.
func (r *Roller) FinishRolls(number uint64) (err error) {
	for len(r.chores) > 0 {
		err = errors.Join(err, (<-r.chores)())
	}
	if !r.Asked() {
		return err
	}
	w := r.spare
	if w == nil {
		w = (<-r.next).w
	}
	if w != nil {
		_ = w.Abandon() // it holds nothing
	}
	r.next, r.spare, r.removed = nil, nil, true
	if gone := r.o.FS.Remove(Path(r.o.Dir, number)); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}
