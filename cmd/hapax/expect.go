package main

import (
	"bytes"
	"io"
	"os"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/lines"
	"github.com/hapaxmq/hapax/uniq"
)

const (
	sampleBlocks = 64
	sampleBytes  = 64 << 10 // a block
)

// sample looks at blocks spread over plain files, to tell how many identities are
// in them: a table that is made for that many need not grow, which takes several
// times as long as filling it.
type sample struct {
	namer  *uniq.Namer
	bytes  int64 // of all files
	read   int64 // of them, in whole lines
	seen   map[hapax.Fingerprint]int
	blocks int
	again  int64 // identities met in two blocks
	worth  int64 // identities met, each once a block
}

// expect estimates how many identities the files hold; 0 if it cannot tell.
func (w *world) expect(files []string, namer *uniq.Namer) int64 {
	s := sample{namer: namer, seen: map[hapax.Fingerprint]int{}}
	var plain, opened []*os.File
	defer func() {
		for _, f := range opened {
			_ = f.Close() // it was only read
		}
	}()
	if f, ok := w.stdin.(*os.File); ok && len(files) == 0 {
		plain = append(plain, f)
	}
	for _, name := range files {
		// What is no plain file may be read once only, or not yet.
		if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			return 0 // whoever reads it says why
		}
		opened = append(opened, f)
	}
	plain = append(plain, opened...)
	var sizes []int64
	for _, f := range plain {
		info, err := f.Stat()
		if err != nil || !info.Mode().IsRegular() || compressed(f) {
			sizes = append(sizes, 0)
			continue
		}
		sizes = append(sizes, info.Size())
		s.bytes += info.Size()
	}
	for i, f := range plain {
		s.file(f, sizes[i])
	}
	return s.estimate()
}

func compressed(f *os.File) bool {
	var magic [4]byte
	_, err := f.ReadAt(magic[:], 0)
	return err == nil && (bytes.HasPrefix(magic[:], []byte(gzipMagic)) || bytes.HasPrefix(magic[:], []byte(zstdMagic)))
}

// file takes in as many blocks of a file as is its share of all.
func (s *sample) file(f io.ReaderAt, size int64) {
	if size == 0 {
		return
	}
	n := max(sampleBlocks*size/s.bytes, 1)
	block := make([]byte, sampleBytes)
	for i := range min(n, sampleBlocks) {
		got, err := f.ReadAt(block, i*(size/n))
		if err != nil && err != io.EOF {
			return
		}
		s.block(block[:got])
	}
}

// block takes in the whole lines of a block.
func (s *sample) block(b []byte) {
	first, last := bytes.IndexByte(b, '\n'), bytes.LastIndexByte(b, '\n')
	if first == last {
		return
	}
	s.blocks++
	c := &uniq.Chunk{Input: new(lines.Input), Text: b[first+1 : last+1]}
	for at := 0; at < len(c.Text); {
		at += bytes.IndexByte(c.Text[at:], '\n') + 1
		c.Ends = append(c.Ends, int32(at))
	}
	if err := s.namer.Name(c); err != nil {
		return // as above
	}
	s.read += int64(len(c.Text))
	for _, e := range c.Notes.Entries {
		switch met := s.seen[e.Fingerprint]; met {
		case s.blocks:
			continue
		case 0:
		default:
			s.again++
		}
		s.seen[e.Fingerprint] = s.blocks
		s.worth++
	}
}

// estimate takes identities that come again within a block for as frequent
// everywhere. If identities were drawn at random from so many, then of n of them
// n²/2 pairs would be equal once in that many.
func (s *sample) estimate() int64 {
	if s.read == 0 {
		return 0
	}
	all := float64(s.worth) / float64(s.read) * float64(s.bytes)
	if s.again > 0 {
		all = min(all, float64(s.worth)*float64(s.worth)/2/float64(s.again))
	}
	return int64(all)
}
