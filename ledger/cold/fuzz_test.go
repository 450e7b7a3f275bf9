package cold

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/window"
)

// contents is a file's bytes.
func contents(t testing.TB, fsys vfs.FS, path string) []byte {
	t.Helper()
	file, err := fsys.Open(path)
	must(t, err)
	size, err := file.Size()
	must(t, err)
	b := make([]byte, size)
	_, err = file.ReadAt(b, 0)
	must(t, err)
	must(t, file.Close())
	return b
}

// put makes a file of these bytes.
func put(t testing.TB, fsys vfs.FS, path string, b []byte) {
	t.Helper()
	file, err := fsys.Create(path)
	must(t, err)
	_, err = file.WriteAt(b, 0)
	must(t, err)
	must(t, file.Close())
}

// FuzzFooter opens files whose footer is anything, under right checksums.
func FuzzFooter(f *testing.F) {
	for _, n := range []int{0, 1, 600} {
		disk := newDisk(f)
		file := write(f, disk, Plan{Number: 1, Generations: generations(1), Replaces: []uint64{7}, Digests: n > 1}, randomEntries(1, n, true))
		b := contents(f, disk, file.Path())
		at := binary.LittleEndian.Uint64(b[16:])
		f.Add(b[headSize:min(at, headSize+2*pageSize)], b[at+4:])
	}
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, body, footer []byte) {
		b := append(make([]byte, headSize), body...)
		at := int64(len(b))
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(footer, crc32.MakeTable(crc32.Castagnoli)))
		b = append(b, footer...)
		copy(b, encodeHead(at, len(footer)+4))
		disk := newDisk(t)
		put(t, disk, Path(testDir, 1), b)
		file, err := Open(disk, Path(testDir, 1))
		if err != nil {
			return
		}
		defer file.Close()
		if len(file.ranges) > len(b) {
			t.Errorf("%d ranges of %d bytes", len(file.ranges), len(b))
		}
		_ = file.Load()
		_ = file.Check()
		for _, e := range randomEntries(2, 10, false) {
			_, _, _ = file.Find(e.Key)
		}
		for _, err := range file.All() {
			if err != nil {
				break
			}
		}
	})
}

// FuzzPage asks files whose page and filter are anything, under right checksums.
func FuzzPage(f *testing.F) {
	for _, n := range []int{1, 100} {
		for _, digests := range []bool{false, true} {
			disk := newDisk(f)
			file := write(f, disk, Plan{Number: 1, Generations: generations(1), Digests: digests}, oneShard(n))
			b := contents(f, disk, file.Path())
			r := &file.ranges[0]
			f.Add(b[r.offset+4:r.offset+pageSize], b[r.page(1):r.end()], uint32(n), digests)
		}
	}
	f.Fuzz(func(t *testing.T, page, filter []byte, keys uint32, digests bool) {
		disk := newDisk(t)
		whole := make([]byte, headSize+pageSize)
		copy(whole[headSize+4:], page)
		binary.LittleEndian.PutUint32(whole[headSize:], pageSum(whole[headSize:], headSize))
		put(t, disk, "page", slices.Concat(whole, filter))
		file, err := disk.Open("page")
		must(t, err)
		open := &File{
			path: "page", file: file, layout: layoutFor(int64(keys), 3, digests), Generations: generations(1), ranges: make([]span, 1),
		}
		defer open.Close()
		open.ranges[0] = span{
			offset: headSize, pages: 1, first: []uint64{0}, size: int64(len(filter)),
			sum: crc32.Checksum(filter, crc32.MakeTable(crc32.Castagnoli)),
		}
		_ = open.Check()
		ask := func() {
			for _, e := range oneShard(4) {
				_, _, _ = open.Find(e.Key)
			}
		}
		ask()
		if open.Load() == nil {
			ask()
		}
		for e, err := range open.All() {
			if err == nil && int(e.Generation) >= len(open.Generations) {
				t.Errorf("entry of generation %d", e.Generation)
			}
		}
	})
}

// oneShard are n entries of the first range.
func oneShard(n int) []Entry {
	all := randomEntries(1, n, false)
	for i := range all {
		home, rest := all[i].Key.Words()
		all[i].Key = window.MakeKey(0, home, rest)
	}
	return all
}
