package ledger

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// The log goes on in another file while nobody waits for it:
//
//	caller, under mu                           background
//
//	a file is half full        ── prepare ──▶  the next file: header, name, zeros, all durable
//	it is full: the next frame
//	goes to the next file      ── retire ───▶  all of the file before is durable, then the
//	                                           snapshot of the newest; the one before is cut to
//	                                           its frames and closed; files that the snapshot
//	                                           does not list are deleted
//
// So at any time there is the newest file with a snapshot, and there may be one
// behind it without, which opening throws away. Two things must stay in order:
// nothing is written to a file before all of the file before it is durable
// ([tail.goOn]), and a file is made only when the snapshot of the one before it
// is durable.
type roller struct {
	fs  vfs.FS
	dir string
	tail

	chores  chan func() error // the background's, in their order
	next    chan nextFile     // the next file when it is made; nil: nobody was asked
	spare   *segment.Writer   // the next file
	opened  int64             // bytes of the newest file when the ledger was opened; 0: it was begun since
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
	// to do. Who begins several at once, for MaxDisk, waits for the background with
	// the ledger's mu held, which no chore takes.
	maxChores = 4
	// maxReserve is how many zeros are written into a file before it is begun.
	maxReserve = 16 << 20
	// maxUnsynced is how much of a file that is only written may not be durable
	// when another is begun, which waits for it.
	maxUnsynced = 256 << 10
)

// needed are the files, but for the newest, that hold something live.
func (j *journal) needed() (files []fileEnding) {
	for _, f := range j.files[:len(j.files)-1] {
		if f.needed() {
			files = append(files, fileEnding{f.number, segment.Ending{End: f.size, Chain: f.chain}})
		}
	}
	return files
}

// create makes the file with a number, empty.
func (r *roller) create(number uint64) (*segment.Writer, error) {
	return segment.Create(r.fs, logPath(r.dir, number), segment.Header{Kind: logKind, Sequence: number}, segment.Options{})
}

// begin makes the first file, with a snapshot in it, durable on return.
func (j *journal) begin() error {
	w, err := j.create(1)
	if err != nil {
		return err
	}
	if err := j.goOnIn(w); err != nil {
		return err
	}
	return w.Sync()
}

// goOnIn makes a file the newest, and appends a snapshot.
func (j *journal) goOnIn(w *segment.Writer) error {
	j.releaseLapped()
	j.goOn(w)
	j.files = append(j.files, newLogFile(j.dir, w.Header().Sequence))
	if err := j.snapshot(j); err != nil {
		return err
	}
	j.begun, j.opened = w.Size(), 0
	return nil
}

// roll begins another file if the newest is large enough: above all, large beside
// the snapshot that the other begins with, and beside a lap over all producers. It
// waits for the other to be made only when the newest is larger by a quarter.
func (j *journal) roll() error {
	lap, err := j.repeat(j)
	if err != nil {
		return err
	}
	full := j.full(lap)
	size := j.w.Size() - j.begun
	switch {
	case size < full/2:
		return nil
	case !j.asked() && j.w.Size()-j.opened < full/8: // it may soon be closed
		if size < full {
			return nil
		}
		return j.rollNow()
	}
	ready, err := j.prepare(full)
	if err != nil || size < full || !ready && size < full+full/4 {
		return err
	}
	return j.rollNow()
}

// asked tells whether the next file is made, or being made.
func (r *roller) asked() bool { return r.spare != nil || r.next != nil }

// full is how many bytes of frames a file takes before another is begun.
func (j *journal) full(lap int64) int64 {
	total := int64(0)
	for _, f := range j.files[:len(j.files)-1] {
		total += f.size
	}
	return max(min(max(total/64, lap/2, j.least), maxRoll), 2*j.begun)
}

// prepare has the next file made, to hold so many bytes, and tells whether it is,
// and nearly all of the newest durable.
func (j *journal) prepare(full int64) (ready bool, err error) {
	if !j.asked() {
		j.next = make(chan nextFile, 1)
		j.chores <- j.makeNext(j.next, j.newestNumber()+1, j.begun+full+full/8)
		return false, nil
	}
	if j.spare == nil {
		select {
		case made := <-j.next:
			j.next, j.spare, err = nil, made.w, made.err
		default:
			return false, nil
		}
	}
	if j.durability == Synced || j.w.Size()-j.w.Synced() < maxUnsynced {
		return err == nil, err
	}
	if len(j.chores) == 0 {
		end := j.end()
		j.chores <- func() error { return j.settle(end) }
	}
	return false, nil
}

// makeNext is the chore that makes a file once the log is durable so far, and
// reserves so many bytes of it.
func (r *roller) makeNext(to chan<- nextFile, number uint64, reserve int64) func() error {
	end := r.end()
	return func() error {
		err := r.settle(end)
		var w *segment.Writer
		if err == nil {
			w, err = r.create(number)
		}
		if err == nil && r.durability == Synced {
			w, err = r.reserve(w, min(reserve, maxReserve))
		}
		to <- nextFile{w, err} // an error is told to who takes it
		return nil
	}
}

// reserve writes zeros ahead into a new file. If the disk has no room for so many
// it is made again without: its frames may still fit.
func (r *roller) reserve(w *segment.Writer, size int64) (*segment.Writer, error) {
	err := w.Reserve(size)
	if !vfs.IsFull(err) {
		return w, err
	}
	if err := errors.Join(w.Abandon(), r.fs.Remove(w.Path())); err != nil {
		return nil, err
	}
	return r.create(w.Header().Sequence)
}

// takeNext is the next file, of that number. If it is not made, nor being made,
// that is done now.
func (r *roller) takeNext(number uint64) (*segment.Writer, error) {
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
	if err := r.settle(r.end()); err != nil {
		return nil, err
	}
	return r.create(number)
}

// rollNow begins another file.
func (j *journal) rollNow() error {
	last, f := j.w, j.files[len(j.files)-1]
	ending, err := last.Ending()
	if err != nil {
		return err
	}
	w, err := j.takeNext(j.newestNumber() + 1)
	if err != nil {
		return err
	}
	f.size, f.chain = ending.End, ending.Chain
	if err := j.goOnIn(w); err != nil {
		return errors.Join(err, last.Close()) // there will be no chore that does
	}
	j.chores <- j.retire(last, j.end(), j.letGo())
	return nil
}

// drop deletes the files that hold nothing live, the newest too. A file goes only
// when the snapshot of a newer one is durable that does not list it.
func (j *journal) drop() error {
	newest := len(j.files) - 1
	for i, f := range j.files {
		if !f.needed() && (i < newest || len(f.ends) > 0) {
			return j.rollNow()
		}
	}
	return nil
}

// letGo forgets the files that the newest does not list: they hold nothing live,
// and what else they held is in its snapshot.
func (j *journal) letGo() (gone []*logFile) {
	var kept []*logFile
	for i, f := range j.files {
		if f.needed() || i == len(j.files)-1 {
			kept = append(kept, f)
		} else {
			gone = append(gone, f)
		}
	}
	j.files = kept
	return gone
}

// retire is the chore that ends a file and deletes others, once the log is durable
// up to the end of the snapshot that knows of it.
func (r *roller) retire(last *segment.Writer, end int64, gone []*logFile) func() error {
	return func() error {
		if err := r.settle(end); err != nil {
			return errors.Join(err, last.Close())
		}
		if err := last.Finish(); err != nil {
			return err
		}
		return r.remove(gone)
	}
}

// remove deletes files of which a durable snapshot knows nothing.
func (r *roller) remove(files []*logFile) error {
	for _, f := range files {
		r.removed = true
		if err := r.fs.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete expired %s: %w", f.path, err)
		}
	}
	return nil
}

// finishRolls does what is left to do when there is no background any more, and
// removes the next file, of that number, if it was begun. That it could not be made
// is of no account then.
func (r *roller) finishRolls(number uint64) (err error) {
	for len(r.chores) > 0 {
		err = errors.Join(err, (<-r.chores)())
	}
	if !r.asked() {
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
	if gone := r.fs.Remove(logPath(r.dir, number)); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// keepLog is the log's goroutine in the background. When the ledger is closed it
// does what there is to do first.
func (l *Ledger) keepLog() {
	for {
		select {
		case chore := <-l.journal.chores:
			if err := chore(); err != nil {
				// Who holds mu may be waiting for the next chore.
				l.running.Go(func() { _ = l.settled(err) })
			}
		case <-l.stop:
			if len(l.journal.chores) == 0 {
				return
			}
		}
	}
}
