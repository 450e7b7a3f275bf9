package segment_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	randv2 "math/rand/v2"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/vfs"
)

const (
	dir  = "/log"
	path = dir + "/7.seg"
)

var header = segment.Header{
	Kind:     1,
	Sequence: 7,
	Owner:    [16]byte{0: 0xaa, 15: 0xbb},
	Created:  time.Unix(1_700_000_000, 123456789),
	Salt:     0x0123456789abcdef,
}

// small writes few zeros ahead, so that the tests of every byte stay short.
var small = segment.Options{Prewrite: 256, SmallGroup: 512}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: error %v, want %v", what, got, want)
	}
}

func newMem(t testing.TB) *vfs.Mem {
	t.Helper()
	m := vfs.NewMem()
	must(t, m.MkdirAll(dir))
	return m
}

func create(t testing.TB, fsys vfs.FS, o segment.Options) *segment.Writer {
	t.Helper()
	w, err := segment.Create(fsys, path, header, o)
	must(t, err)
	return w
}

// payload is the i-th payload of the tests: of all lengths, never all zero.
func payload(i int) []byte {
	rng := randv2.NewPCG(uint64(i), 0)
	b := make([]byte, 1+rng.Uint64()%40)
	for i := range b {
		b[i] = byte(rng.Uint64())
	}
	b[0] |= 1
	return b
}

func kind(i int) uint8 { return uint8(1 + i%segment.MaxType) }

// appendFrames appends the frames [from, to) of the tests.
func appendFrames(t testing.TB, w *segment.Writer, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		_, err := w.Append(kind(i), payload(i))
		must(t, err)
	}
}

// scan counts the frames of the file, which must be those of the tests in order.
func scan(t testing.TB, fsys vfs.FS, o segment.ScanOptions) (segment.Report, int, error) {
	t.Helper()
	n, end := 0, int64(segment.FirstFrame)
	r, err := segment.Scan(fsys, path, o, func(f segment.Frame) error {
		if f.Type != kind(n) || !bytes.Equal(f.Payload, payload(n)) || f.Offset != end {
			t.Errorf("frame %d at %d is of type %d: %x", n, f.Offset, f.Type, f.Payload)
		}
		n, end = n+1, f.Next()
		return nil
	})
	if err == nil && (r.Frames != int64(n) || r.End != end) {
		t.Errorf("report %+v of %d frames up to %d", r, n, end)
	}
	return r, n, err
}

func wantFrames(t testing.TB, fsys vfs.FS, o segment.ScanOptions, frames int) segment.Report {
	t.Helper()
	r, n, err := scan(t, fsys, o)
	must(t, err)
	if n != frames {
		t.Errorf("%d frames, want %d", n, frames)
	}
	return r
}

func content(t testing.TB, fsys vfs.FS) []byte {
	t.Helper()
	f, err := fsys.Open(path)
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		t.Fatal(err)
	}
	return b
}

// disk returns a file system whose segment has these bytes.
func disk(t testing.TB, b []byte) *vfs.Mem {
	t.Helper()
	m := newMem(t)
	f, err := m.Create(path)
	must(t, err)
	_, err = f.WriteAt(b, 0)
	must(t, err)
	must(t, f.Close())
	return m
}

func TestLife(t *testing.T) {
	m := newMem(t)
	w := create(t, m, small)
	if w.Header() != header || w.Path() != path {
		t.Errorf("header %+v of %s", w.Header(), w.Path())
	}
	appendFrames(t, w, 0, 3)
	if w.Buffered() == 0 || w.Flushed() != segment.FirstFrame || w.Size() != segment.FirstFrame+int64(w.Buffered()) {
		t.Errorf("after append: %d buffered, flushed %d, size %d", w.Buffered(), w.Flushed(), w.Size())
	}
	must(t, w.Flush())
	if w.Buffered() != 0 || w.Flushed() != w.Size() || w.Synced() != segment.FirstFrame {
		t.Errorf("after flush: %d buffered, flushed %d, synced %d, size %d", w.Buffered(), w.Flushed(), w.Synced(), w.Size())
	}
	must(t, w.Sync())
	if w.Synced() != w.Size() || w.Allocated() != w.Size()+256 {
		t.Errorf("after sync: synced %d, size %d, allocated %d", w.Synced(), w.Size(), w.Allocated())
	}
	appendFrames(t, w, 3, 5)
	must(t, w.Close())
	must(t, w.Close())

	r := wantFrames(t, m, segment.ScanOptions{Kind: 1}, 5)
	if r.Sealed || r.Torn != 0 || !r.Header.Created.Equal(header.Created) {
		t.Errorf("open file: %+v", r)
	}
	w, err := segment.OpenAppend(m, path, r, small)
	must(t, err)
	appendFrames(t, w, 5, 9)
	must(t, w.Seal())
	must(t, w.Seal())
	if w.Size() != w.Allocated() || w.Size() != w.Synced() {
		t.Errorf("sealed: size %d, allocated %d, synced %d", w.Size(), w.Allocated(), w.Synced())
	}
	_, err = w.Append(1)
	wantErr(t, "append after seal", err, segment.ErrSealed)
	must(t, w.Flush())
	must(t, w.Close())

	r = wantFrames(t, m, segment.ScanOptions{MustBeSealed: true}, 9)
	if !r.Sealed || r.Torn != 0 || r.Size != r.End+48 {
		t.Errorf("sealed file: %+v", r)
	}
	// A sealed file can be gone on with, too.
	w, err = segment.OpenAppend(m, path, r, small)
	must(t, err)
	appendFrames(t, w, 9, 10)
	must(t, w.Seal())
	must(t, w.Close())
	wantFrames(t, m, segment.ScanOptions{MustBeSealed: true}, 10)
}

func TestEmptyFile(t *testing.T) {
	m := newMem(t)
	w := create(t, m, small)
	must(t, w.Sync())
	must(t, w.Flush())
	r := wantFrames(t, m, segment.ScanOptions{}, 0)
	if r.End != segment.FirstFrame || r.Size != segment.FirstFrame {
		t.Errorf("report %+v", r)
	}
	must(t, w.Seal())
	must(t, w.Close())
	wantFrames(t, m, segment.ScanOptions{MustBeSealed: true}, 0)
}

func TestParts(t *testing.T) {
	m := newMem(t)
	w := create(t, m, segment.Options{})
	_, err := w.Append(1, []byte("one"), nil, []byte("two"), []byte(""))
	must(t, err)
	_, err = w.Append(2)
	must(t, err)
	must(t, w.Close())
	var got []string
	_, err = segment.Scan(m, path, segment.ScanOptions{}, func(f segment.Frame) error {
		got = append(got, fmt.Sprintf("%d %q", f.Type, f.Payload))
		return nil
	})
	must(t, err)
	if fmt.Sprint(got) != `[1 "onetwo" 2 ""]` {
		t.Errorf("frames %v", got)
	}
}

func TestRefusals(t *testing.T) {
	m := newMem(t)
	w := create(t, m, segment.Options{MaxFrame: 100})
	_, err := segment.Create(m, path, header, small)
	wantErr(t, "create over a file", err, errExist)
	_, err = w.Append(0)
	wantErr(t, "type 0", err, segment.ErrBadType)
	_, err = w.Append(255)
	wantErr(t, "type 255", err, segment.ErrBadType)
	_, err = w.Append(1, make([]byte, 60), make([]byte, 41))
	wantErr(t, "a large frame", err, segment.ErrTooLarge)
	_, err = w.Append(1, make([]byte, 100))
	must(t, err)
	must(t, w.Close())
	_, err = w.Append(1)
	wantErr(t, "append after close", err, errClosed)
	wantErr(t, "flush after close", w.Flush(), errClosed)
	wantErr(t, "seal after close", w.Seal(), errClosed)

	none := func(segment.Frame) error { return nil }
	if _, err := segment.Scan(m, path, segment.ScanOptions{Kind: 2}, none); err == nil || errors.Is(err, hapax.ErrCorrupt) {
		t.Errorf("another kind: %v", err)
	}
	stop := errors.New("stop")
	_, err = segment.Scan(m, path, segment.ScanOptions{}, func(segment.Frame) error { return stop })
	if err != stop { //nolint:errorlint // the very error
		t.Errorf("visit's error came back as %v", err)
	}
	r, err := segment.Scan(m, path, segment.ScanOptions{}, none)
	must(t, err)
	r.Size++
	if _, err = segment.OpenAppend(m, path, r, small); err == nil {
		t.Error("file changed since its scan: no error")
	}
	_, err = segment.Scan(m, dir+"/none", segment.ScanOptions{}, none)
	wantErr(t, "scan nothing", err, errNotExist)
	_, err = segment.OpenAppend(m, dir+"/none", r, small)
	wantErr(t, "open nothing", err, errNotExist)
	_, err = segment.OpenReader(m, dir+"/none", segment.ScanOptions{})
	wantErr(t, "read nothing", err, errNotExist)
}

// A file that a crash left unfinished under its first name is in nobody's way.
func TestCreateAfterCrash(t *testing.T) {
	m := newMem(t)
	f, err := m.Create(path + segment.TempSuffix)
	must(t, err)
	_, err = f.WriteAt(make([]byte, 1000), 0)
	must(t, err)
	must(t, create(t, m, small).Close())
	wantFrames(t, m, segment.ScanOptions{}, 0)
	if names, _ := m.List(dir); len(names) != 1 {
		t.Errorf("names left: %v", names)
	}
}

func TestSaltIsDrawn(t *testing.T) {
	m := newMem(t)
	salts := map[uint64]bool{0: true}
	for i := range 3 {
		w, err := segment.Create(m, fmt.Sprint(dir, "/", i), segment.Header{}, small)
		must(t, err)
		salts[w.Header().Salt] = true
		must(t, w.Close())
	}
	if len(salts) != 4 {
		t.Errorf("salts %v", salts)
	}
}

func TestFrameAt(t *testing.T) {
	m := newMem(t)
	w := create(t, m, small)
	offsets := make([]int64, 20)
	for i := range offsets {
		var err error
		offsets[i], err = w.Append(kind(i), payload(i))
		must(t, err)
	}
	big := bytes.Repeat([]byte("big "), 5000)
	bigAt, err := w.Append(9, big)
	must(t, err)
	_, err = w.FrameAt(offsets[0], nil)
	wantErr(t, "frame in memory", err, segment.ErrNotWritten)
	must(t, w.Seal())
	r, err := segment.OpenReader(m, path, segment.ScanOptions{Kind: 1})
	must(t, err)
	defer r.Close()
	if r.Header().Sequence != 7 {
		t.Errorf("header %+v", r.Header())
	}
	buf := make([]byte, 0, 40)
	for i, at := range offsets {
		for _, read := range []func(int64, []byte) (segment.Frame, error){r.FrameAt, w.FrameAt} {
			f, err := read(at, buf)
			must(t, err)
			if f.Type != kind(i) || f.Offset != at || !bytes.Equal(f.Payload, payload(i)) {
				t.Errorf("frame %d: %+v", i, f)
			}
		}
	}
	f, err := r.FrameAt(bigAt, nil)
	must(t, err)
	if !bytes.Equal(f.Payload, big) {
		t.Error("the big frame is another")
	}
	room := make([]byte, 30<<10)
	f, err = r.FrameAt(bigAt, room)
	must(t, err)
	if &f.Payload[0] != &room[24] {
		t.Error("the frame is not in the buffer that has room for it")
	}
	for _, at := range []int64{-8, 0, 8, 65, offsets[3] + 8, f.Next(), f.Next() + 48, 1 << 40} {
		_, err := r.FrameAt(at, nil)
		wantErr(t, fmt.Sprint("no frame at ", at), err, hapax.ErrCorrupt)
	}
	b := content(t, m)
	b[bigAt+10000] ^= 1
	for what, b := range map[string][]byte{"flipped": b, "cut": b[:bigAt+9000]} {
		r, err := segment.OpenReader(disk(t, b), path, segment.ScanOptions{})
		must(t, err)
		_, err = r.FrameAt(bigAt, nil)
		wantErr(t, what, err, hapax.ErrCorrupt)
		must(t, r.Close())
	}
}

// Frames around and above the size of a read.
func TestScanAcrossReads(t *testing.T) {
	m := newMem(t)
	w := create(t, m, segment.Options{})
	rng := rand.New(rand.NewSource(1))
	var want [][]byte
	for range 300 {
		b := make([]byte, rng.Intn(1<<rng.Intn(15)))
		rng.Read(b)
		want = append(want, b)
		_, err := w.Append(1, b)
		must(t, err)
	}
	must(t, w.Seal())
	must(t, w.Close())
	for _, size := range []int{1, 4096, 5000, 1 << 20} {
		n := 0
		_, err := segment.Scan(m, path, segment.ScanOptions{MustBeSealed: true, ReadSize: size}, func(f segment.Frame) error {
			if !bytes.Equal(f.Payload, want[n]) {
				t.Fatalf("reads of %d: frame %d differs", size, n)
			}
			n++
			return nil
		})
		must(t, err)
		if n != len(want) {
			t.Errorf("reads of %d: %d frames, want %d", size, n, len(want))
		}
	}
}
