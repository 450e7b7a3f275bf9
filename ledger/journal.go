package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/window"
)

// journal is a ledger's log: numbered files of frames. A new file begins with a
// snapshot of all that is neither identities nor producers, so that a file can be
// deleted once the generations in it have left the window and its producers have
// been repeated behind it.
//
// All of it is called under the ledger's mu, but for the tail's waiting.
type journal struct {
	fs       vfs.FS
	dir      string
	snapshot func(*journal) error                  // appends the state that a new file begins with
	repeat   func(*journal) (lap int64, err error) // appends some of what is remembered of producers
	least    int64                                 // bytes of a file before another is begun

	tail
	files []*logFile // the last is the tail's
	begun int64      // bytes of the snapshot that w begins with

	lapped uint64 // from the next roll on, files before it are not needed for producers
}

// logFile is one file of the log.
type logFile struct {
	number uint64
	path   string
	size   int64               // when it is not the newest
	gens   map[uint64]struct{} // live generations with frames in it
	ends   map[uint64]int64    // generations introduced in it, and their ends

	producers bool // it may be the last to say what is remembered of some producer
}

const (
	logSuffix = ".log"
	logKind   = 0x6c656467 // "ledg"

	minRoll = 1 << 20
	maxRoll = 256 << 20
)

func logPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", number, logSuffix))
}

func newLogFile(dir string, number uint64) *logFile {
	return &logFile{number: number, path: logPath(dir, number), gens: make(map[uint64]struct{}), ends: make(map[uint64]int64)}
}

// needed tells whether the file holds something live.
func (f *logFile) needed() bool { return len(f.gens) > 0 || f.producers }

// needed are the numbers of the files, but for the newest, that hold something
// live.
func (j *journal) needed() (numbers []uint64) {
	for _, f := range j.files[:len(j.files)-1] {
		if f.needed() {
			numbers = append(numbers, f.number)
		}
	}
	return numbers
}

// begin makes a new file the newest, with a snapshot in it, durable on return.
func (j *journal) begin() error {
	number := uint64(1)
	if n := len(j.files); n > 0 {
		number = j.files[n-1].number + 1
	}
	f := newLogFile(j.dir, number)
	if err := j.fs.Remove(f.path + segment.TempSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	j.releaseLapped()
	w, err := segment.Create(j.fs, f.path, segment.Header{Kind: logKind, Sequence: number}, segment.Options{})
	if err != nil {
		return err
	}
	j.goOn(w)
	j.files = append(j.files, f)
	if err := j.snapshot(j); err != nil {
		return err
	}
	j.begun = w.Size()
	return w.Sync()
}

// roll seals the newest file and begins another, if the newest is large enough:
// above all, large beside the snapshot that the other begins with, and beside a
// lap over all producers.
func (j *journal) roll() error {
	lap, err := j.repeat(j)
	if err != nil {
		return err
	}
	n := len(j.files)
	total := int64(0)
	for _, f := range j.files[:n-1] {
		total += f.size
	}
	if j.w.Size()-j.begun < max(min(max(total/64, lap/2, j.least), maxRoll), 2*j.begun) {
		return nil
	}
	return j.rollNow()
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

// rollNow seals the newest file and begins another.
func (j *journal) rollNow() error {
	n := len(j.files)
	last := j.w
	if err := last.Seal(); err != nil {
		return err
	}
	j.files[n-1].size = last.Size()
	if err := j.begin(); err != nil {
		return err
	}
	if err := last.Close(); err != nil {
		return err
	}
	return j.clean()
}

// append adds a frame.
func (j *journal) append(kind uint8, payload []byte) error {
	_, err := j.w.Append(kind, payload)
	return err
}

// use notes that the newest file holds frames of a generation, which it
// introduces if it has not, or if the generation's end has moved.
func (j *journal) use(gen *window.Generation) error {
	f := j.files[len(j.files)-1]
	if end, ok := f.ends[gen.ID]; ok && end == gen.End {
		return nil
	}
	f.ends[gen.ID] = gen.End
	f.gens[gen.ID] = struct{}{}
	b := binary.AppendUvarint(nil, gen.ID)
	b = binary.AppendVarint(b, gen.Start)
	return j.append(frameGeneration, binary.AppendVarint(b, gen.End))
}

// ended notes that generations have left the window.
func (j *journal) ended(gone []*window.Generation) {
	for _, f := range j.files {
		for _, gen := range gone {
			delete(f.gens, gen.ID)
		}
	}
}

// moved notes that the keys of generations are in a cold file: the files before
// the number given hold nothing more of them.
func (j *journal) moved(gens []*window.Generation, before uint64) {
	for _, f := range j.files {
		if f.number >= before {
			return
		}
		for _, gen := range gens {
			delete(f.gens, gen.ID)
		}
	}
}

func (j *journal) newestNumber() uint64 { return j.files[len(j.files)-1].number }

// clean deletes the files that the newest does not list: they hold nothing live,
// and what else they held is in its snapshot.
func (j *journal) clean() error {
	newest := len(j.files) - 1
	var kept []*logFile
	for i, f := range j.files {
		if f.needed() || i == newest {
			kept = append(kept, f)
			continue
		}
		if err := j.fs.Remove(f.path); err != nil {
			return fmt.Errorf("delete expired %s: %w", f.path, err)
		}
	}
	j.files = kept
	return nil
}

// size is the bytes of all files, zeros written ahead not counted. It must hold
// the ledger's mu.
func (j *journal) size() int64 {
	var total int64
	for _, f := range j.files {
		total += f.size
	}
	if j.w != nil {
		total += j.w.Size() - j.files[len(j.files)-1].size
	}
	return total
}

// close seals the newest file if the log is sound, closes it, and marks the
// close as clean: these were the files, the cold files, and the table's image.
func (j *journal) close(sound bool, cold []uint64, table *image) error {
	if j.w == nil {
		return nil
	}
	if !sound {
		_ = j.w.Close() // it says again what failed
		return nil
	}
	if err := j.w.Seal(); err != nil {
		return err
	}
	j.over()
	if err := j.w.Close(); err != nil {
		return err
	}
	c := clean{Newest: j.newestNumber(), Size: j.w.Size(), Cold: cold, Image: table}
	for _, f := range j.files {
		c.Files = append(c.Files, f.number)
	}
	return writeText(j.fs, j.dir, cleanName, c)
}

// snapshot appends everything that is neither an identity nor a producer, for a
// new file.
func (l *Ledger) snapshot(j *journal) error {
	var frames []func() (uint8, []byte)
	for name, s := range l.sources {
		frames = append(frames, func() (uint8, []byte) { return frameSource, appendSource(nil, name, s) })
	}
	l.claims.All(func(f hapax.Fingerprint, h window.Held) bool {
		frames = append(frames, func() (uint8, []byte) { return frameClaim, appendClaim(nil, f, h) })
		return true
	})
	for f, receipt := range l.receipts.all() {
		frames = append(frames, func() (uint8, []byte) {
			return frameReceipt, appendString(f[:], receipt)
		})
	}
	for f, id := range l.cold.hidden.files {
		frames = append(frames, func() (uint8, []byte) {
			return frameHidden, binary.AppendUvarint(f[:], id)
		})
	}
	for _, frame := range frames {
		kind, payload := frame()
		if err := j.append(kind, payload); err != nil {
			return err
		}
	}
	if err := j.append(frameTokens, binary.AppendUvarint(nil, l.reserved)); err != nil {
		return err
	}
	return j.append(frameSnapshot, appendSnapshot(nil, logSnapshot{l.gens.Newest(), l.gens.Watermark(), j.needed()}))
}
