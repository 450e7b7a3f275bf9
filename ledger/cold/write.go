package cold

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/FastFilter/xorfilter"

	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/window"
)

// perRange is how many keys a range is planned for: the memory that building its
// filter takes is some forty bytes a key.
const perRange = 1 << 18

// TempSuffix is what the name of a file ends in until it is whole.
const TempSuffix = ".new"

// Path is the name of the cold file with that number.
func Path(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", number, Suffix))
}

// Writer writes one cold file, its keys in order of range.
type Writer struct {
	f       *File
	fsys    vfs.FS
	at      int64  // where the next page goes
	buf     []byte // pages not written yet
	keys    []uint64
	page    []byte // entries of the page that is filling
	count   int
	current int // range
	limit   int // bytes of buf at which it is written
	builder xorfilter.BinaryFuseBuilder
}

// Plan is what a new file is to be.
type Plan struct {
	Number      uint64
	Keys        int64        // about how many
	Generations []Generation // entries name them by index; the counts are made by Add
	Replaces    []uint64
	Log         uint64
	Digests     bool
}

// NewWriter begins a file.
func NewWriter(fsys vfs.FS, dir string, p Plan) (*Writer, error) {
	generations := p.Generations
	if len(generations) > MaxGenerations {
		return nil, fmt.Errorf("cold file of %d generations: at most %d", len(generations), MaxGenerations)
	}
	bits := 8
	for p.Keys>>bits > perRange && bits < 20 {
		bits++
	}
	f := &File{
		Number: p.Number, Generations: slices.Clone(generations), Replaces: p.Replaces, Log: p.Log,
		path: Path(dir, p.Number), digests: p.Digests, bits: bits, ranges: make([]span, 1<<bits),
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
	return &Writer{f: f, fsys: fsys, at: headSize, limit: 1 << 20}, nil
}

// byKey orders the entries of one shard.
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
	if r := rangeOf(e.Key, w.f.bits); r != w.current || w.f.Keys == 0 {
		if err := w.endRange(); err != nil {
			return err
		}
		w.current = r
		w.f.ranges[r].offset = w.at
	}
	home, _ := e.Key.Words()
	r := &w.f.ranges[w.current]
	if w.count == 0 {
		r.first = append(r.first, home)
	}
	w.page = appendEntry(w.page, e, w.f.digests)
	w.keys = append(w.keys, home)
	w.f.Generations[e.Generation].Count++
	w.f.Keys++
	if w.count++; w.count == perPage(w.f.entry()) {
		return w.endPage()
	}
	return nil
}

func (w *Writer) endPage() error {
	if w.count == 0 {
		return nil
	}
	from := len(w.buf)
	w.buf = append(w.buf, make([]byte, pageHead)...)
	w.buf = append(w.buf, w.page...)
	w.buf = append(w.buf, make([]byte, pageSize-pageHead-len(w.page))...)
	page := w.buf[from:]
	binary.LittleEndian.PutUint16(page[4:], uint16(w.count))
	binary.LittleEndian.PutUint32(page, pageSum(page, w.at))
	w.f.ranges[w.current].pages++
	w.at += pageSize
	w.page, w.count = w.page[:0], 0
	if len(w.buf) >= w.limit {
		return w.flush()
	}
	return nil
}

// endRange ends the current range with its filter.
func (w *Writer) endRange() error {
	if err := w.endPage(); err != nil {
		return err
	}
	if len(w.keys) == 0 {
		return nil
	}
	fuse, err := xorfilter.BuildBinaryFuse[uint16](&w.builder, w.keys)
	if err != nil {
		return fmt.Errorf("build filter: %w", err)
	}
	b := encodeFilter(&fuse)
	r := &w.f.ranges[w.current]
	r.filter, r.sum = int64(len(b)), checksum(b)
	w.buf = append(w.buf, b...)
	w.at += int64(len(b))
	w.keys = w.keys[:0]
	return w.flush()
}

func (w *Writer) flush() error {
	if _, err := w.f.file.WriteAt(w.buf, w.at-int64(len(w.buf))); err != nil {
		return fmt.Errorf("write cold file: %w", err)
	}
	w.buf = w.buf[:0]
	return nil
}

// Finish makes the file durable under its name and opens it, its filters not
// loaded.
func (w *Writer) Finish() (*File, error) {
	f, temp := w.f, w.f.path+TempSuffix
	err := w.endRange()
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

// Merge writes the entries of two files into w, without those that drop says.
// index translates the files' generations to w's; of a key that both have, the
// second file's stays.
func Merge(w *Writer, a, b *File, index func(f *File, generation uint8) (uint8, bool), drop func(window.Key, uint64) bool) error {
	for shard := range 256 {
		var all []Entry
		for _, f := range []*File{a, b} {
			n := 1 << (f.bits - 8)
			for i := shard * n; i < (shard+1)*n; i++ {
				err := f.Part(i, func(e Entry) {
					to, live := index(f, e.Generation)
					if live && !drop(e.Key, f.Generations[e.Generation].ID) {
						e.Generation = to
						all = append(all, e)
					}
				})
				if err != nil {
					return err
				}
			}
		}
		slices.SortStableFunc(all, byKey)
		for i := range all {
			if i+1 < len(all) && all[i].Key == all[i+1].Key {
				continue
			}
			if err := w.Add(all[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
