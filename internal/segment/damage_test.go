package segment_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/segment"
)

var (
	errExist    = fs.ErrExist
	errNotExist = fs.ErrNotExist
	errClosed   = fs.ErrClosed
)

// flips are the changes made to each byte.
var flips = []byte{0x01, 0x80, 0xff}

// eachFlip calls test with each changed version of b.
func eachFlip(t *testing.T, b []byte, test func(at int, changed []byte)) {
	for at := range b {
		for _, flip := range append(flips, b[at]) { // the last one makes it zero
			if flip == 0 {
				continue
			}
			b[at] ^= flip
			test(at, b)
			b[at] ^= flip
		}
	}
}

func TestEachByteOfSealedFile(t *testing.T) {
	m := newMem(t)
	w := create(t, m, small)
	for i := 0; i < 12; i += 3 {
		appendFrames(t, w, i, i+3)
		must(t, w.Sync())
	}
	must(t, w.Seal())
	sealed := content(t, m)
	eachFlip(t, sealed, func(at int, b []byte) {
		for _, must := range []bool{true, false} {
			_, _, err := scan(t, disk(t, b), segment.ScanOptions{MustBeSealed: must})
			var damage *segment.DamageError
			if !errors.As(err, &damage) || !errors.Is(err, hapax.ErrCorrupt) || damage.Path != path {
				t.Errorf("byte %d of %d changed: %v", at, len(b), err)
			} else if damage.Offset > int64(at) {
				t.Errorf("byte %d changed: damage is said to begin at %d", at, damage.Offset)
			}
		}
	})
	for size := range sealed {
		_, _, err := scan(t, disk(t, sealed[:size]), segment.ScanOptions{MustBeSealed: true})
		wantErr(t, "cut sealed file", err, hapax.ErrCorrupt)
	}
	for _, more := range []string{"\x00", "\x01", strings.Repeat("\x00", 100)} {
		_, _, err := scan(t, disk(t, append(sealed, more...)), segment.ScanOptions{MustBeSealed: true})
		wantErr(t, "longer sealed file", err, hapax.ErrCorrupt)
	}
}

// A byte that changes in an open file is an error, or it is in the last group
// that was written, or behind the frames: then the file is cut there, and what
// was durable when that group was written is all read.
func TestEachByteOfOpenFile(t *testing.T) {
	for _, c := range []struct {
		name   string
		finish func(w *segment.Writer) error
	}{
		{"synced", (*segment.Writer).Sync},
		{"flushed", (*segment.Writer).Flush},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMem(t)
			w := create(t, m, small)
			appendFrames(t, w, 0, 4)
			must(t, w.Sync())
			appendFrames(t, w, 4, 6)
			must(t, w.Sync())
			safe := w.Synced()
			appendFrames(t, w, 6, 10)
			must(t, c.finish(w))
			cut := 0
			eachFlip(t, content(t, m), func(at int, b []byte) {
				r, n, err := scan(t, disk(t, b), segment.ScanOptions{})
				switch {
				case int64(at) < safe:
					wantErr(t, "change of durable bytes", err, hapax.ErrCorrupt)
				case err != nil:
					t.Errorf("byte %d changed behind %d: %v", at, safe, err)
				case n < 6 || n == 10 && int64(at) < w.Size():
					t.Errorf("byte %d changed: %d frames", at, n)
				case int64(at) >= w.Size() && (n != 10 || r.Torn == 0):
					t.Errorf("byte %d changed behind the frames: %d frames, %d bytes torn", at, n, r.Torn)
				default:
					cut++
					reopen(t, b, r, n)
				}
			})
			if cut == 0 {
				t.Error("no change led to a cut")
			}
		})
	}
}

// reopen cuts the tail that was reported, goes on and reads all of it.
func reopen(t *testing.T, b []byte, r segment.Report, frames int) {
	t.Helper()
	m := disk(t, b)
	w, err := segment.OpenAppend(m, path, r, small)
	must(t, err)
	appendFrames(t, w, frames, frames+2)
	must(t, w.Close())
	if r := wantFrames(t, m, segment.ScanOptions{}, frames+2); r.Torn != 0 {
		t.Errorf("%d bytes torn after the cut", r.Torn)
	}
}

func TestEachLengthOfOpenFile(t *testing.T) {
	m := newMem(t)
	w := create(t, m, segment.Options{Prewrite: -1})
	appendFrames(t, w, 0, 3)
	must(t, w.Sync())
	appendFrames(t, w, 3, 6)
	must(t, w.Sync())
	b := content(t, m)
	for size := range b {
		r, _, err := scan(t, disk(t, b[:size]), segment.ScanOptions{})
		switch {
		case size < segment.FirstFrame:
			wantErr(t, "cut header", err, hapax.ErrCorrupt)
		case err != nil:
			t.Errorf("cut to %d bytes: %v", size, err)
		case r.End+r.Torn > int64(size):
			t.Errorf("cut to %d bytes: report %+v", size, r)
		}
	}
}

// Frames are of their file and their place: neither those of another file nor
// copies of them in a payload count, not even as proof of damage.
func TestFramesOfAnotherPlace(t *testing.T) {
	m := newMem(t)
	w := create(t, m, small)
	for i := range 6 {
		appendFrames(t, w, i, i+1)
		must(t, w.Sync())
	}
	frames := content(t, m)[segment.FirstFrame:w.Size()]

	other := newMem(t)
	h := header
	h.Salt++
	w, err := segment.Create(other, path, h, segment.Options{Prewrite: -1})
	must(t, err)
	must(t, w.Close())
	recycled := append(content(t, other), frames...)
	r := wantFrames(t, disk(t, recycled), segment.ScanOptions{}, 0)
	if want := len(bytes.TrimRight(frames, "\x00")); r.Torn != int64(want) {
		t.Errorf("recycled file: %d bytes torn, want %d", r.Torn, want)
	}

	m = newMem(t)
	w = create(t, m, segment.Options{Prewrite: -1})
	appendFrames(t, w, 0, 1)
	must(t, w.Sync())
	at, err := w.Append(1, frames, frames)
	must(t, err)
	must(t, w.Sync())
	b := content(t, m)
	b[at] ^= 1
	if r := wantFrames(t, disk(t, b), segment.ScanOptions{}, 1); r.Torn == 0 {
		t.Error("nothing torn")
	}
}

func TestForeignFiles(t *testing.T) {
	m := newMem(t)
	must(t, create(t, m, small).Close())
	newer := content(t, m)
	newer[8] = 2
	binary.LittleEndian.PutUint32(newer[60:], crc32.Checksum(newer[:60], crc32.MakeTable(crc32.Castagnoli)))
	for _, c := range []struct {
		name    string
		content []byte
		want    error
		says    string
	}{
		{"empty", nil, hapax.ErrCorrupt, "no header"},
		{"text", []byte(strings.Repeat("hello world\n", 10)), hapax.ErrCorrupt, "no header"},
		{"newer", newer, segment.ErrNewer, "reads format 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := scan(t, disk(t, c.content), segment.ScanOptions{})
			wantErr(t, "scan", err, c.want)
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want the file's name and %q", err, c.says)
			}
			_, err = segment.OpenReader(disk(t, c.content), path, segment.ScanOptions{})
			wantErr(t, "open reader", err, c.want)
		})
	}
}

// A seal that did not come to its end leaves an open file.
func TestUnfinishedSeal(t *testing.T) {
	m := newMem(t)
	w := create(t, m, small)
	appendFrames(t, w, 0, 3)
	must(t, w.Seal())
	sealed := content(t, m)
	uncut := slices.Concat(sealed, make([]byte, 64))
	r := wantFrames(t, disk(t, uncut), segment.ScanOptions{}, 3)
	if r.Sealed || r.Torn != 0 {
		t.Errorf("seal that was not cut off: %+v", r)
	}
	reopen(t, uncut, r, 3)
	uncut[len(uncut)-1] = 1
	_, _, err := scan(t, disk(t, uncut), segment.ScanOptions{})
	wantErr(t, "bytes behind a seal", err, hapax.ErrCorrupt)
	uncut[len(uncut)-1] = 0
	uncut[r.End+5] ^= 1
	r = wantFrames(t, disk(t, uncut), segment.ScanOptions{}, 3)
	if r.Sealed || r.Torn != 48 {
		t.Errorf("torn seal: %+v", r)
	}
	reopen(t, uncut, r, 3)
}
