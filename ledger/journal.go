package ledger

import (
	"encoding/binary"
	"errors"
	"maps"
	"sync/atomic"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/wal"
	"github.com/hapaxmq/hapax/window"
)

// journal is a ledger's log: numbered files of frames. A new file begins with a
// snapshot of all that is neither identities nor producers, so that a file can be
// deleted once the generations in it have left the window and its producers have
// been repeated behind it.
//
// All of it is called under the ledger's mu, but for waiting ([wal.Tail]) and what the
// background does: see roll.go.
type journal struct {
	snapshot func(*journal) error                  // appends the state that a new file begins with
	repeat   func(*journal) (lap int64, err error) // appends some of what is remembered of producers
	least    int64                                 // bytes of a file before another is begun

	*wal.Roller
	dir        string
	durability Durability
	segment    segment.Options // of each file

	w      *segment.Writer // of the newest file
	files  []*logFile      // the last is w's
	begun  int64           // bytes of the snapshot that w begins with
	opened int64           // bytes of the newest file when the ledger was opened; 0: it was begun since

	lapped uint64 // from the next roll on, files before it are not needed for producers

	leaving atomic.Int64  // bytes of files that the background is about to delete
	left    chan struct{} // some are gone
}

// logFile is one file of the log.
type logFile struct {
	number uint64
	path   string
	size   int64               // when it is not the newest
	chain  uint64              // of its frames: see segment.Ending; when it is not the newest
	gens   map[uint64]struct{} // live generations with frames in it
	ends   map[uint64]int64    // generations introduced in it, and their ends
	starts map[uint64]int64    // and where; of one that is not in here it is not known

	producers bool // it may be the last to say what is remembered of some producer
}

const (
	logKind = 0x6c656467 // "ledg"

	minRoll = 1 << 20
	maxRoll = 256 << 20
)

func newLogFile(dir string, number uint64) *logFile {
	return &logFile{number: number, path: wal.Path(dir, number), gens: make(map[uint64]struct{}), ends: make(map[uint64]int64), starts: make(map[uint64]int64)}
}

// introduced notes that the file tells of a generation and its end, at an offset.
func (f *logFile) introduced(id uint64, end, at int64) {
	f.ends[id] = end
	if _, ok := f.starts[id]; !ok {
		f.starts[id] = at
	}
}

// needed tells whether the file holds something live.
func (f *logFile) needed() bool { return len(f.gens) > 0 || f.producers }

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
	f.introduced(gen.ID, gen.End, j.w.Size())
	f.gens[gen.ID] = struct{}{}
	b := binary.AppendUvarint(nil, gen.ID)
	b = binary.AppendVarint(b, gen.Start)
	return j.append(frameGeneration, binary.AppendVarint(b, gen.End))
}

// leave notes that all generations but those that are live have left the window.
func (j *journal) leave(live *window.Generations) {
	for _, f := range j.files {
		maps.DeleteFunc(f.gens, func(id uint64, _ struct{}) bool { return live.ByID(id) == nil })
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

// wait returns once the log up to end is as durable as promised.
func (j *journal) wait(end int64) error {
	if j.durability == Synced {
		return j.Sync(end)
	}
	return j.Flush(end)
}

func (j *journal) newestNumber() uint64 { return j.files[len(j.files)-1].number }

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

// close ends the work of the background, which is over, seals the newest file if
// the log is sound, and closes it. It returns what is to be said of a log that was
// closed so, else nil.
func (j *journal) close(sound bool) (*clean, error) {
	if j.w == nil {
		return nil, nil
	}
	err := j.FinishRolls(j.newestNumber() + 1)
	if !sound || err != nil {
		// Nothing more may be written: the file before may not be durable.
		abandoned := j.w.Abandon()
		if !sound {
			return nil, nil // they say again what failed
		}
		return nil, errors.Join(err, abandoned)
	}
	if err := j.w.Seal(); err != nil {
		return nil, err
	}
	j.Over()
	if err := j.w.Close(); err != nil {
		return nil, err
	}
	if err := j.SyncRemoved(); err != nil { // else a name may come back that clean does not know
		return nil, err
	}
	c := &clean{Newest: j.newestNumber(), Size: j.w.Size()}
	for _, f := range j.files {
		c.Files = append(c.Files, f.number)
	}
	return c, nil
}

// snapshot appends everything that is neither an identity nor a producer, for a
// new file.
func (l *Ledger) snapshot(j *journal) error {
	var frames []func() (uint8, []byte)
	for name, s := range l.sources.named {
		for frame := range s.frames(name) {
			if err := j.append(frameSource, frame); err != nil {
				return err
			}
		}
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
	if err := l.evictions.snapshot(j, &l.cold); err != nil {
		return err
	}
	if err := j.append(frameTokens, binary.AppendUvarint(nil, l.claims.reserved)); err != nil {
		return err
	}
	return j.append(frameSnapshot, appendSnapshot(logSnapshot{l.gens.Newest(), l.gens.Watermark(), j.needed()}))
}

// logSnapshot is what the frame that ends the snapshot of a file tells.
type logSnapshot struct {
	newest    uint64       // generation
	watermark int64        // what moved it may be in a file that is not needed any more
	needed    []fileEnding // files before it, oldest first
}

func appendSnapshot(s logSnapshot) []byte {
	b := binary.AppendUvarint(nil, s.newest)
	b = binary.AppendVarint(b, s.watermark)
	b = binary.AppendUvarint(b, uint64(len(s.needed)))
	for _, e := range s.needed {
		b = binary.AppendUvarint(b, e.number)
		b = binary.AppendUvarint(b, uint64(e.End))
		b = binary.LittleEndian.AppendUint64(b, e.Chain)
	}
	return b
}

func readSnapshot(b *reader, file uint64) logSnapshot {
	s := logSnapshot{newest: b.uvarint("generation"), watermark: b.varint("watermark")}
	last := uint64(0)
	for range b.count(8, "files") {
		e := fileEnding{number: b.uvarint("file")}
		if e.number <= last || e.number >= file {
			b.fail("file before it")
			return s
		}
		e.End, e.Chain = int64(b.uvarint("end of a file")), b.fixed("chain of a file")
		s.needed, last = append(s.needed, e), e.number
	}
	return s
}
