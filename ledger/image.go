package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"unsafe"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/textfile"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/window"
)

// An image is the table as it lay in memory when the ledger was closed, for a
// quick start: the next Open reads none of the log but its newest file, which
// holds no identity, and fetches the table's blocks as they are first looked at.
// It is thrown away at open, for from then on it is out of date.
//
//	file image  the blocks, one after the other: 64 bytes a line [, behind every two 64 of their digests]
//	            4 CRC-32C of each block
//	            the table's directory
//	            spilled entries: 16 fingerprint · 1 generation's number · 8 digest
//
// What else it takes is in the file clean, with the CRC-32C of all behind the
// blocks. Numbers are as the processor has them: [image.Order] tells.
type image struct {
	Order       uint32              `json:"order"` // nativeOrder
	Slots       int                 `json:"slots"` // window.Slots
	Layout      window.Layout       `json:"layout"`
	Size        int64               `json:"size"` // bytes of a block
	Spilled     int                 `json:"spilled"`
	Sum         uint32              `json:"sum"` // CRC-32C of what is behind the blocks
	Watermark   int64               `json:"watermark"`
	Newest      uint64              `json:"newest"`      // generation
	Generations []window.Generation `json:"generations"` // those in cold files too
	Logs        []imageLog          `json:"logs"`
}

// imageLog is what the journal knows of a file that is not the newest.
type imageLog struct {
	Number uint64           `json:"number"`
	Size   int64            `json:"size"`
	Live   []uint64         `json:"live"`   // generations
	Ends   map[uint64]int64 `json:"ends"`   // of generations introduced in it
	Starts map[uint64]int64 `json:"starts"` // where they are
}

const (
	imageName = "image"
	spillSize = 16 + 1 + 8
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// nativeOrder is four bytes as this processor reads them: no two orders agree.
func nativeOrder() uint32 { return binary.NativeEndian.Uint32([]byte{4, 3, 2, 1}) }

// blockBytes is the size of a block in the file.
func (l *Ledger) blockBytes(layout window.Layout) int64 {
	return l.hot.mem.size(layout.BlockLines())
}

// endLog ends the log, and marks a sound one as closed: with an image of the table
// if replaying the log would take more than a moment. It must hold mu, of a ledger
// that admits nothing any more.
func (l *Ledger) endLog() error {
	l.stripes.lockAll()
	defer l.stripes.unlockAll()
	if l.o.Window.Time == 0 {
		l.gens.Advance(l.now()) // all came before that, should time bound it from the next Open on
	}
	quick := l.wantsImage()
	if quick {
		l.hot.finish()
		if err := l.journal.empty(l.sequences); err != nil {
			_ = l.fail(err)
		}
	}
	c, err := l.journal.close(l.failed == nil)
	if c == nil {
		return err
	}
	c.Cold = l.cold.numbers()
	if quick {
		text, err := l.writeImage(*c)
		if err == nil {
			return vfs.Replace(l.o.FS, filepath.Join(l.dir, cleanName), text)
		}
		l.o.Logger.Warn("there is no image of the table: the next open reads the log", "dir", l.dir, "error", err)
	}
	return textfile.Write(l.o.FS, filepath.Join(l.dir, cleanName), *c)
}

// wantsImage tells whether there is to be an image. An exact count window has none:
// its order is not in the table.
func (l *Ledger) wantsImage() bool {
	return l.failed == nil && l.journal.w != nil && l.hot.recency == nil &&
		l.o.QuickStart >= 0 && l.hot.live.Load() >= l.o.QuickStart
}

// empty makes the newest file one without identities, that says all of producers.
func (j *journal) empty(s *sequences) error {
	if len(j.files[len(j.files)-1].ends) > 0 {
		if err := j.rollNow(); err != nil {
			return err
		}
	}
	if s == nil || !j.producersBehind() {
		return nil
	}
	s.lap.next = 0
	return s.goOn(j, math.MaxInt64)
}

// writeImage writes the table's image, and returns the text of the file clean that
// tells of it. It must hold all locks, no sweep on; the newest file of the log, which
// is closed, holds no identity.
func (l *Ledger) writeImage(c clean) (text []byte, err error) {
	m := &image{
		Order: nativeOrder(), Slots: window.Slots, Layout: l.hot.table.Layout(), Size: l.blockBytes(l.hot.table.Layout()),
		Watermark: l.gens.Watermark(), Newest: l.gens.Newest(),
	}
	for _, gen := range l.gens.List() {
		m.Generations = append(m.Generations, *gen)
	}
	files := l.journal.files
	for _, f := range files[:len(files)-1] {
		m.Logs = append(m.Logs, imageLog{Number: f.number, Size: f.size, Live: slices.Sorted(maps.Keys(f.gens)), Ends: f.ends, Starts: f.starts})
	}
	behind := l.behindBlocks(m)
	if l.failed != nil { // not all of the table could be read
		return nil, l.failed
	}
	c.Image = m
	if text, err = textfile.Encode(c); err != nil {
		return nil, err
	}
	if len(text) > textfile.MaxSize {
		return nil, fmt.Errorf("to say what is in it the file %s would take %d bytes, at most %d", cleanName, len(text), textfile.MaxSize)
	}
	path := filepath.Join(l.dir, imageName)
	return text, vfs.ReplaceBy(l.o.FS, path, func(f vfs.File) error { return l.writeBlocks(f, m, behind) })
}

// behindBlocks is what is behind the blocks of an image, which it completes.
func (l *Ledger) behindBlocks(m *image) []byte {
	var behind []byte
	for i := range m.Layout.CountBlocks() {
		behind = binary.LittleEndian.AppendUint32(behind, crc32.Checksum(bytesOf(l.hot.table.Raw(i)), castagnoli()))
	}
	behind = append(behind, l.hot.table.Directory()...)
	l.hot.table.Spilled(func(k window.Key, number uint8, side uint64) {
		fp := k.Fingerprint()
		behind = append(append(behind, fp[:]...), number)
		behind = binary.LittleEndian.AppendUint64(behind, side)
		m.Spilled++
	})
	m.Sum = crc32.Checksum(behind, castagnoli())
	return behind
}

func (l *Ledger) writeBlocks(f vfs.File, m *image, behind []byte) error {
	for i := range m.Layout.CountBlocks() {
		if _, err := f.WriteAt(bytesOf(l.hot.table.Raw(i)), int64(i)*m.Size); err != nil {
			return err
		}
	}
	_, err := f.WriteAt(behind, int64(m.Layout.CountBlocks())*m.Size)
	return err
}

// bytesOf is the memory of lines.
func bytesOf(s []window.Line) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*lineBytes)
}

// picture is an image that the table is being fetched from.
type picture struct {
	*image
	file    vfs.File
	sums    []byte
	dir     []byte // of the table
	spilled []byte
	numbers [256]uint8 // the number that a generation has now, by the one it had; 0: it has left
}

// openImage makes the table from the image of a ledger that was closed cleanly,
// and tells whether it could: else the log tells all.
func (l *Ledger) openImage(m *image) bool {
	if m == nil {
		return false
	}
	p := &picture{image: m}
	err := l.fits(m)
	if err == nil {
		err = p.open(l.o.FS, filepath.Join(l.dir, imageName))
	}
	if err == nil {
		l.hot.table, err = window.RestoreTable(l.hot.mem, l.hot.mem.beside, m.Layout, p.dir, l.fetchBlock)
	}
	if err != nil {
		l.o.Logger.Warn("the table's image cannot be used: reading the log", "dir", l.dir, "error", err)
		_ = p.close()
		return false
	}
	l.picture = p
	return true
}

// fits reports why an image is none of a table that this ledger can have.
func (l *Ledger) fits(m *image) error {
	switch {
	case m.Order != nativeOrder():
		return errors.New("another kind of processor wrote it")
	case m.Layout.Lines() > l.hot.mem.limit:
		return fmt.Errorf("its table is larger than MaxMemory of %d bytes allows", l.o.MaxMemory)
	case l.hot.recency != nil || m.Slots != window.Slots || m.Size != l.blockBytes(m.Layout):
		return errors.New("it is of another kind of table")
	}
	return nil
}

func (p *picture) open(fsys vfs.FS, path string) (err error) {
	if err := p.Layout.Check(); err != nil {
		return err
	}
	if p.file, err = fsys.Open(path); err != nil {
		return err
	}
	blocks := p.Layout.CountBlocks()
	end := int64(blocks) * p.Size
	sums, dir := 4*blocks, p.Layout.DirectoryBytes()
	tail := make([]byte, sums+dir+p.Spilled*spillSize)
	if size, err := p.file.Size(); err != nil || size != end+int64(len(tail)) {
		return errors.Join(err, fmt.Errorf("%w: %s has %d bytes, and had %d", hapax.ErrCorrupt, path, size, end+int64(len(tail))))
	}
	if _, err := p.file.ReadAt(tail, end); err != nil {
		return err
	}
	p.sums, p.dir, p.spilled = tail[:sums], tail[sums:][:dir], tail[sums+dir:]
	if crc32.Checksum(tail, castagnoli()) != p.Sum {
		return fmt.Errorf("%w: %s does not match its checksum", hapax.ErrCorrupt, path)
	}
	return nil
}

func (p *picture) close() error {
	if p == nil || p.file == nil {
		return nil
	}
	f := p.file
	p.file = nil
	return f.Close()
}

// restore begins the generations again whose entries are in the image, and puts
// the spilled entries back. It comes after those in cold files, which are older.
func (l *Ledger) restore() error {
	p := l.picture
	l.ended(l.gens.Advance(p.Watermark), false)
	l.gens.SkipTo(p.Newest)
	for _, gen := range p.Generations {
		if gen.Number == 0 || l.gens.Gone(gen.ID, gen.End) {
			continue // it is in a cold file, or has left
		}
		number := gen.Number
		now, err := l.gens.Restore(gen, true)
		if err != nil {
			return err
		}
		if p.numbers[number] = now.Number; now.Number != 0 { // else its keys are in a cold file that was just made
			l.hot.live.Add(now.Count)
		}
	}
	l.publish()
	for s := p.spilled; len(s) > 0; s = s[spillSize:] {
		number := p.numbers[s[16]]
		if number == 0 {
			continue
		}
		k := window.KeyOf(hapax.Fingerprint(s[:16]))
		at, err := l.hot.table.Insert(k, number, &l.stripes.of(k).live)
		if err != nil {
			return err
		}
		l.hot.table.SetSide(k, at, binary.LittleEndian.Uint64(s[17:]))
	}
	return nil
}

// recount counts the generations in cold files as they were counted at close: the
// files know what they were made with, not what was forgotten or renewed since,
// nor which generations have left by count or bytes.
func (l *Ledger) recount() {
	counted := make(map[uint64]bool)
	for _, was := range l.picture.Generations {
		counted[was.ID] = true
		if gen := l.gens.ByID(was.ID); gen != nil && gen.Number == 0 {
			l.cold.live -= gen.Count - was.Count
			l.gens.Remove(gen, gen.Count-was.Count, gen.Bytes-was.Bytes)
		}
	}
	for list := l.gens.List(); len(list) > 1 && !counted[list[0].ID]; list = l.gens.List() {
		l.ended([]*window.Generation{l.gens.Evict()}, false)
	}
}

// restoreLog tells the journal what it knew of a file that is not read.
func (p *picture) restoreLog(f *logFile) error {
	at := slices.IndexFunc(p.Logs, func(m imageLog) bool { return m.Number == f.number })
	if at < 0 || p.Logs[at].Size > f.size { // zeros that were cut off may come back
		return fmt.Errorf("%w: %s has %d bytes, and had others when the ledger was closed: restore it from a backup", hapax.ErrCorrupt, f.path, f.size)
	}
	f.size = p.Logs[at].Size
	for _, id := range p.Logs[at].Live {
		f.gens[id] = struct{}{}
	}
	maps.Copy(f.ends, p.Logs[at].Ends)
	maps.Copy(f.starts, p.Logs[at].Starts)
	return nil
}

// fetchBlock fetches a block that is needed now. If it cannot, nothing that the
// ledger says counts any more.
func (l *Ledger) fetchBlock(block int, lines []window.Line) {
	if err := l.picture.fetch(block, lines, l.hot.mem.beside); err != nil {
		clear(lines)
		_ = l.fail(err) // who asked is told by sound
	}
}

// fetchRest fetches the blocks that nobody has needed yet. Each is read and checked
// beside the callers, who wait for no more than its copying. It is maintain's.
func (l *Ledger) fetchRest() {
	p := l.picture
	if p == nil || p.file == nil {
		return
	}
	size := p.Layout.BlockLines()
	b := readBeside{number: -1, lines: make([]window.Line, window.Space(size, l.hot.mem.beside))}
	for l.unlessStopped(func() bool { return l.install(&b) }) {
		l.hot.mem.prepare(b.number*size, (b.number+1)*size)
		b.err = p.fetch(b.number, b.lines, l.hot.mem.beside)
		runtime.Gosched() // callers first: to sleep would take longer than all of this
	}
}

// readBeside is a block of the table that was read beside it.
type readBeside struct {
	number int // -1: none was yet
	lines  []window.Line
	err    error
}

// install copies a block to its place, unless a caller fetched it meanwhile, and
// names the one to be read next, if there is one. It must hold mu.
func (l *Ledger) install(b *readBeside) (more bool) {
	switch {
	case b.number < 0:
	case b.err == nil:
		l.hot.table.Install(b.number, b.lines)
	case l.hot.table.Lacks(b.number):
		_ = l.fail(b.err) // the next call reports it
		return false
	}
	if b.number, more = l.hot.table.NextAbsent(); !more {
		_ = l.picture.close() // it was only read
	}
	return more
}

// fetch reads a block of the table from the image, without what has left the
// window.
func (p *picture) fetch(block int, lines []window.Line, beside bool) error {
	if err := p.read(block, bytesOf(lines)); err != nil {
		return fmt.Errorf("read the table's image: %w", err)
	}
	window.Renumber(lines, beside, &p.numbers)
	return nil
}

func (p *picture) read(block int, b []byte) error {
	if _, err := p.file.ReadAt(b, int64(block)*p.Size); err != nil {
		return err
	}
	if crc32.Checksum(b, castagnoli()) != binary.LittleEndian.Uint32(p.sums[4*block:]) {
		return fmt.Errorf("%w: block %d does not match its checksum; the next open reads the log instead", hapax.ErrCorrupt, block)
	}
	return nil
}
