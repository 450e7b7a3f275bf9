package ledger

import (
	"errors"

	"github.com/hapaxmq/hapax/internal/segment"
)

// The log goes on in another file while nobody waits for it, by a [wal.Roller]: a
// new file begins with a snapshot, and when that is durable, files that it does not
// list are deleted. So at any time there is the newest file with a snapshot, and
// there may be one behind it without, which opening throws away.

// maxUnsynced is how much of a file that is only written may not be durable when
// another is begun, which waits for it.
const maxUnsynced = 256 << 10

// needed are the files, but for the newest, that hold something live.
func (j *journal) needed() (files []fileEnding) {
	for _, f := range j.files[:len(j.files)-1] {
		if f.needed() {
			files = append(files, fileEnding{f.number, segment.Ending{End: f.size, Chain: f.chain}})
		}
	}
	return files
}

// begin makes the first file, with a snapshot in it, durable on return.
func (j *journal) begin() error {
	w, err := j.Create(1)
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
	j.GoOn(w)
	j.w = w
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
	case !j.Asked() && j.w.Size()-j.opened < full/8: // it may soon be closed
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

// full is how many bytes of frames a file takes before another is begun.
func (j *journal) full(lap int64) int64 {
	total := int64(0)
	for _, f := range j.files[:len(j.files)-1] {
		total += f.size
	}
	return max(min(max(total/64, lap/2, j.least), maxRoll), 2*j.begun)
}

// prepare has the next file made, to hold so many bytes, and tells whether it is,
// and nearly all of the newest durable, which is seen to when that is nearly full: each
// sync before would be one more.
func (j *journal) prepare(full int64) (ready bool, err error) {
	made, err := j.Prepare(j.newestNumber()+1, j.begun+full+full/8)
	if err != nil || !made {
		return false, err
	}
	if j.durability == Synced || j.w.Size()-j.w.Synced() < maxUnsynced {
		return true, nil
	}
	if j.w.Size()-j.begun >= full-full/8 {
		j.SettleSoon()
	}
	return false, nil
}

// rollNow begins another file.
func (j *journal) rollNow() error {
	last, f := j.w, j.files[len(j.files)-1]
	ending, err := last.Ending()
	if err != nil {
		return err
	}
	w, err := j.Take(j.newestNumber() + 1)
	if err != nil {
		return err
	}
	f.size, f.chain = ending.End, ending.Chain
	if err := j.goOnIn(w); err != nil {
		return errors.Join(err, last.Close()) // there will be no chore that does
	}
	end, gone := j.End(), j.letGo()
	bytes := int64(0)
	for _, f := range gone {
		bytes += f.size
	}
	j.leaving.Add(bytes)
	j.Later(func() error {
		err := j.Retire(last, end, pathsOf(gone))
		j.leaving.Add(-bytes)
		select {
		case j.left <- struct{}{}:
		default:
		}
		return err
	})
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

func pathsOf(files []*logFile) (paths []string) {
	for _, f := range files {
		paths = append(paths, f.path)
	}
	return paths
}

// keepLog is the log's goroutine in the background. When the ledger is closed it
// does what there is to do first.
func (l *Ledger) keepLog() {
	l.journal.Work(l.stop, func(err error) { l.running.Go(func() { _ = l.settled(err) }) })
}
