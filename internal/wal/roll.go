package wal

import (
	"errors"
	"path/filepath"

	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/textfile"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// full is how many bytes of a file begin another: many beside the snapshot that it
// begins with.
func (l *Log) full() int64 { return max(l.begun+l.o.FileSize, 2*l.begun) }

// call sets when the background is called next. It must hold mu.
func (l *Log) call() {
	if l.next = l.full(); l.spare == nil {
		l.next = l.begun + (l.full()-l.begun)/2
	}
}

// work is the background: it makes files ahead, and goes on in them.
func (l *Log) work() {
	for {
		select {
		case <-l.stop:
			return
		case <-l.calls:
		}
		if err := l.step(); err != nil {
			_ = l.fail(err)
			return
		}
	}
}

// step does what there is to do by the size of the newest file.
func (l *Log) step() error {
	l.mu.Lock()
	size, full, trim := l.w.Size(), l.full(), l.trim.Swap(0)
	l.mu.Unlock()
	if l.spare == nil {
		w, err := l.r.Make(l.Newest()+1, full+full/8, l.r.End())
		switch {
		case vfs.IsFull(err): // what is left of the disk is for frames
			l.mu.Lock()
			l.next = size + full/8
			l.mu.Unlock()
			l.trim.Store(trim)
			return nil
		case err != nil:
			return err
		}
		l.spare = w
	}
	if size >= full || trim > 0 {
		if size >= full {
			trim = 0 // it goes on in any case
		}
		if err := l.roll(trim); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.call()
	size = l.w.Size()
	again := size >= l.next
	l.mu.Unlock()
	if again {
		poke(l.calls)
	}
	return nil
}

// roll goes on in the next file, or only if that lets so many bytes go.
func (l *Log) roll(least int64) error {
	if err := l.r.Settle(l.r.End()); err != nil { // what is left to write while Hold holds is little
		return err
	}
	var last *segment.Writer
	var end int64
	var gone []uint64
	err := l.o.Hold(func() (err error) {
		if least > 0 && l.needless() < max(least, 2*l.begun) {
			return nil
		}
		last = l.w
		end, gone, err = l.begin(l.spare)
		l.spare = nil
		return err
	})
	switch {
	case last == nil:
		return err
	case err != nil:
		return errors.Join(err, last.Close())
	}
	return l.retire(last, end, gone)
}

// retire ends a file, and removes those that are not needed, once the log is
// durable up to the end of the snapshot that knows of it.
func (l *Log) retire(last *segment.Writer, end int64, gone []uint64) error {
	if err := l.r.Retire(last, end, nil); err != nil {
		return err
	}
	return l.files.remove(gone)
}

// needless is how many bytes older files have that are not needed any more.
func (l *Log) needless() (bytes int64) {
	needed := l.o.Needed()
	for _, e := range l.Older() {
		if needed[e.Number] == 0 {
			bytes += e.End
		}
	}
	return bytes
}

// begin goes on in a file, and puts the snapshot into it. It returns where that
// ends in the log, and the files that it does not list. Nobody may be appending.
func (l *Log) begin(w *segment.Writer) (end int64, gone []uint64, err error) {
	l.mu.Lock()
	last, older := l.w, l.older
	ending, err := last.Ending()
	if err == nil {
		l.r.GoOn(w)
		l.base += last.Size()
		l.w = w
	}
	l.mu.Unlock()
	if err != nil {
		return 0, nil, err
	}
	older = append(older[:len(older):len(older)], Ended{last.Header().Sequence, ending})
	kept, gone, err := l.o.snapshot(w, older)
	if err != nil {
		return 0, nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.older, l.begun = kept, w.Size()
	return l.base + l.begun, gone, nil
}

// markName is the file that says that a log was closed.
const markName = "clean"

// mark is what it says: a [textfile].
type mark struct {
	Newest uint64 `json:"newest"`
	Size   int64  `json:"size"`
}

func markPath(dir string) string { return filepath.Join(dir, markName) }

// end ends a log that is sound, and that nobody uses any more.
func (l *Log) end() error {
	if err := l.lastRoll(); err != nil {
		return err
	}
	if w := l.spare; w != nil {
		if err := errors.Join(w.Abandon(), l.fs.Remove(w.Path())); err != nil {
			return err
		}
	}
	if err := l.w.Seal(); err != nil {
		return err
	}
	l.r.Over()
	if err := l.w.Close(); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.dir); err != nil { // else a name may come back that was removed
		return err
	}
	return textfile.Write(l.fs, markPath(l.dir), mark{Newest: l.w.Header().Sequence, Size: l.w.Size()})
}

// lastRoll makes the newest file one that holds a snapshot and nothing else.
func (l *Log) lastRoll() error {
	if l.w.Size() == l.begun {
		return nil
	}
	w := l.spare
	if l.spare = nil; w == nil {
		if err := l.r.Settle(l.r.End()); err != nil {
			return err
		}
		var err error
		if w, err = l.r.Create(l.Newest() + 1); err != nil {
			return err
		}
	}
	last := l.w
	end, gone, err := l.begin(w)
	if err != nil {
		return errors.Join(err, last.Close())
	}
	return l.retire(last, end, gone)
}
