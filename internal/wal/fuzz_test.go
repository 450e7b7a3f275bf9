package wal

import (
	"bytes"
	"errors"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// FuzzOpen changes a file of a log in one place and cuts it. Whatever comes: it is an
// error, or the records are the first ones that were appended, and the log goes on.
func FuzzOpen(f *testing.F) {
	const keep, records = 1000, 30
	mem := vfs.NewMem()
	s := filled(f, mem, keep, records)
	crashed := mem.KillCopy()
	must(f, s.log.Close())
	for which := range uint8(4) {
		f.Add(false, which, uint32(0), []byte{}, uint16(0))
		f.Add(true, which, uint32(40), []byte{1}, uint16(0))
		f.Add(false, which, uint32(300), []byte("something else"), uint16(100))
		f.Add(true, which, uint32(0), []byte{}, uint16(700))
	}
	f.Fuzz(func(t *testing.T, closed bool, which uint8, at uint32, change []byte, cutOff uint16) {
		m := crashed.KillCopy()
		if closed {
			m = mem.KillCopy()
		}
		paths := []string{}
		for _, number := range numbers(t, m) {
			paths = append(paths, Path("d", number))
		}
		if closed {
			paths = append(paths, markPath("d"))
		}
		path := paths[int(which)%len(paths)]
		file, err := m.OpenRW(path)
		must(t, err)
		size, _ := file.Size()
		at %= uint32(size)
		_, err = file.WriteAt(change[:min(len(change), int(size)-int(at))], int64(at))
		must(t, err)
		must(t, file.Truncate(max(0, size-int64(cutOff))))
		must(t, file.Close())
		s, err := openShelf(m, Options{}, keep)
		if err != nil {
			return
		}
		if s.n > records {
			t.Errorf("%d records", s.n)
		}
		must(t, s.addSynced())
		must(t, s.log.Close())
	})
}

// FuzzComplete reads what a snapshot says of older files.
func FuzzComplete(f *testing.F) {
	f.Add([]byte{}, uint64(9))
	f.Add(encodeComplete(nil), uint64(1))
	f.Add(encodeComplete([]Ended{{1, segment.Ending{End: 64, Chain: 5}}, {3, segment.Ending{End: 1 << 40, Chain: 1 << 63}}}), uint64(4))
	f.Fuzz(func(t *testing.T, b []byte, file uint64) {
		older, err := decodeComplete(b, file)
		if err != nil {
			if !errors.Is(err, errComplete) {
				t.Error(err)
			}
			return
		}
		again, err := decodeComplete(encodeComplete(older), file)
		if err != nil || len(again) != len(older) || !bytes.Equal(encodeComplete(again), encodeComplete(older)) {
			t.Errorf("%v became %v, %v", older, again, err)
		}
		if len(older) > 0 && older[len(older)-1].Number >= file {
			t.Errorf("file %d needs %v", file, older)
		}
	})
}

// The damage of a complete frame is told by file and offset.
func TestDamageInComplete(t *testing.T) {
	mem := vfs.NewMem()
	must(t, mem.MkdirAll("d"))
	w, err := segment.Create(mem, Path("d", 1), segment.Header{Kind: testKind, Sequence: 1}, segment.Options{})
	must(t, err)
	_, err = w.Append(KindComplete, encodeComplete([]Ended{{1, segment.Ending{End: 64}}}))
	must(t, errors.Join(err, w.Close()))
	_, err = openShelf(mem, Options{}, 1)
	var damage *segment.DamageError
	if !errors.As(err, &damage) || damage.Offset != segment.FirstFrame || !errors.Is(err, hapax.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}
