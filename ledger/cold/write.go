package cold

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"unsafe"

	"github.com/FastFilter/xorfilter"

	"github.com/hapaxmq/hapax/internal/vfs"
)

const (
	// perRange is how many keys a range has at most, about: building its filter
	// takes some 35 bytes a key.
	perRange = 1 << 19
	maxBits  = 20
	// writeAt is how many bytes gather before they are written, and syncAt how
	// many are written before they are synced: what the disk has to take at once
	// delays whoever else waits for it.
	writeAt = 1 << 20
	syncAt  = 8 << 20
)

// Length is about the bytes of disk that a file of so many keys takes, and not
// less.
func Length(keys int64, digests bool) int64 {
	each := 18.5
	if digests {
		each += digestSize
	}
	return int64(each*float64(keys)) + 32<<10
}

// TempSuffix is what the name of a file ends in until it is whole.
const TempSuffix = ".new"

// Path is the name of the cold file with that number.
func Path(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", number, Suffix))
}

// Writer writes one cold file, its keys in order.
type Writer struct {
	f       *File
	fsys    vfs.FS
	at      int64    // where the next page goes
	buf     []byte   // what is not written yet
	dirty   int      // bytes written and not synced
	words   []uint64 // of the range's keys
	page    []Entry  // of the page that is filling
	steps   int      // bytes of their steps
	last    uint64   // prefix of the last of them
	current int      // range
	builder xorfilter.BinaryFuseBuilder
}

// Plan is what a new file is to be.
type Plan struct {
	Number      uint64
	Keys        int64        // about how many
	Generations []Generation // entries name them by index; the counts are made by Add
	Replaces    []uint64
	Watermark   int64
	Digests     bool
}

// NewWriter begins a file.
func NewWriter(fsys vfs.FS, dir string, p Plan) (*Writer, error) {
	generations := p.Generations
	if len(generations) > MaxGenerations {
		return nil, fmt.Errorf("cold file of %d generations: at most %d", len(generations), MaxGenerations)
	}
	bits := bitsFor(p.Keys)
	f := &File{
		Number: p.Number, Generations: slices.Clone(generations), Replaces: p.Replaces, Watermark: p.Watermark,
		path: Path(dir, p.Number), layout: layoutFor(p.Keys, len(generations), p.Digests), bits: bits, ranges: make([]span, 1<<bits),
	}
	for i := range f.Generations {
		f.Generations[i].Count = 0
	}
	temp := f.path + TempSuffix
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	file, err := fsys.Create(temp)
	if err != nil {
		return nil, fmt.Errorf("create cold file: %w", err)
	}
	f.file = file
	return &Writer{f: f, fsys: fsys, at: headSize}, nil
}

// bitsFor is how many bits choose a range in a file of so many keys.
func bitsFor(keys int64) (bits int) {
	for keys>>bits > perRange && bits < maxBits {
		bits++
	}
	return bits
}

// Cost is about the bytes of memory that a file of so many keys takes when its
// filters are loaded, and not less.
func Cost(keys int64) int64 {
	ranges := 1 << bitsFor(keys)
	each := float64(keys) / float64(ranges)
	pages := 1 + each*16/pageSize
	return int64(float64(ranges) * (filterBytes(each) + filterAlign + 8*pages + float64(unsafe.Sizeof(span{}))))
}

func byKey(a, b Entry) int {
	switch {
	case less(a.Key, b.Key):
		return -1
	case less(b.Key, a.Key):
		return 1
	}
	return 0
}

// Shard adds the keys of one shard, which it sorts in place. Shards come in
// order.
func (w *Writer) Shard(entries []Entry) error {
	slices.SortFunc(entries, byKey)
	for i := range entries {
		if err := w.Add(entries[i]); err != nil {
			return err
		}
	}
	return nil
}

// Add adds the next key in order.
func (w *Writer) Add(e Entry) error {
	if r := w.f.PartOf(e.Key); r != w.current || w.f.Keys == 0 {
		if err := w.endRange(); err != nil {
			return err
		}
		w.current = r
		w.f.ranges[r].offset = w.at
	}
	fp := e.Key.Fingerprint()
	prefix := w.f.layout.prefixOf(&fp)
	step := stepLength(prefix - w.last)
	if w.f.layout.length(len(w.page)+1, w.steps+step) > pageSize {
		if err := w.endPage(); err != nil {
			return err
		}
		step = stepLength(prefix)
	}
	w.page, w.steps, w.last = append(w.page, e), w.steps+step, prefix
	w.words = append(w.words, word(e.Key))
	w.f.Generations[e.Generation].Count++
	w.f.Keys++
	return nil
}

func (w *Writer) endPage() error {
	if len(w.page) == 0 {
		return nil
	}
	from := len(w.buf)
	w.buf = append(w.buf, make([]byte, pageSize)...)
	page := w.buf[from:]
	w.f.layout.encode(page, w.page)
	binary.LittleEndian.PutUint32(page, pageSum(page, w.at))
	r := &w.f.ranges[w.current]
	r.first = append(r.first, word(w.page[0].Key))
	r.pages++
	w.at += pageSize
	w.page, w.steps, w.last = w.page[:0], 0, 0
	return w.flush(writeAt)
}

// endRange ends the current range with its filter.
func (w *Writer) endRange() error {
	if err := w.endPage(); err != nil {
		return err
	}
	if len(w.words) == 0 {
		return nil
	}
	fuse, err := xorfilter.BuildBinaryFuse[uint16](&w.builder, w.words)
	if err != nil {
		return fmt.Errorf("build filter: %w", err)
	}
	from := len(w.buf)
	w.buf = appendFilter(w.buf, &fuse)
	b := w.buf[from:]
	r := &w.f.ranges[w.current]
	r.first = slices.Clone(r.first) // without what append kept for more
	r.size, r.sum = int64(len(b)), checksum(b)
	w.at += r.size
	w.words = w.words[:0]
	return w.flush(writeAt)
}

// flush writes what has gathered if it is that much.
func (w *Writer) flush(least int) error {
	if len(w.buf) < least {
		return nil
	}
	if _, err := w.f.file.WriteAt(w.buf, w.at-int64(len(w.buf))); err != nil {
		return fmt.Errorf("write cold file: %w", err)
	}
	w.dirty += len(w.buf)
	w.buf = w.buf[:0]
	if w.dirty < syncAt {
		return nil
	}
	w.dirty = 0
	if err := w.f.file.Sync(); err != nil {
		return fmt.Errorf("write cold file: %w", err)
	}
	return nil
}

// Finish makes the file durable under its name and opens it, its filters not
// loaded.
func (w *Writer) Finish() (*File, error) {
	f, temp := w.f, w.f.path+TempSuffix
	err := w.endRange()
	if err == nil {
		err = w.flush(0)
	}
	if err == nil {
		err = w.finish()
	}
	if err == nil {
		err = w.fsys.Rename(temp, f.path)
	}
	if err == nil {
		err = w.fsys.SyncDir(filepath.Dir(f.path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("finish cold file: %w", err), w.Abort())
	}
	return f, nil
}

func (w *Writer) finish() error {
	footer := w.f.encodeFooter()
	if _, err := w.f.file.WriteAt(footer, w.at); err != nil {
		return err
	}
	w.f.size = w.at + int64(len(footer))
	if _, err := w.f.file.WriteAt(encodeHead(w.at, len(footer)), 0); err != nil {
		return err
	}
	return w.f.file.Sync()
}

// Abort throws the file away.
func (w *Writer) Abort() error {
	err := w.f.file.Close()
	if gone := w.fsys.Remove(w.f.path + TempSuffix); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}
