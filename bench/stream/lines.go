package stream

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// LineLength is the length of one line of a file of lines, newline included.
const LineLength = 50

// WriteLines writes the first n messages as lines of 50 bytes, an id and a
// payload each, and returns the SHA-256 of the lines without the copies, which
// is what a deduplicator must print.
func (s Stream) WriteLines(path string, n int64) (want [sha256.Size]byte, err error) {
	f, err := os.Create(path)
	if err != nil {
		return want, fmt.Errorf("write lines: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := bufio.NewWriterSize(f, 1<<20)
	sum := sha256.New()
	unique := bufio.NewWriterSize(sum, 1<<20)
	var line [LineLength]byte
	for i := range n {
		number, duplicate := s.Number(i)
		s.line(&line, number)
		_, _ = out.Write(line[:]) // a bufio.Writer keeps its error for Flush
		if !duplicate {
			_, _ = unique.Write(line[:])
		}
	}
	if err := errors.Join(out.Flush(), unique.Flush()); err != nil {
		return want, fmt.Errorf("write lines: %w", err)
	}
	sum.Sum(want[:0])
	return want, nil
}

// line writes "<id> <12 digits>\n".
func (s Stream) line(dst *[LineLength]byte, number int64) {
	s.ID((*ID)(dst[:36]), number)
	dst[36] = ' '
	rest := mix(uint64(number)) % 1e12
	for i := 48; i > 36; i-- {
		dst[i] = byte('0' + rest%10)
		rest /= 10
	}
	dst[49] = '\n'
}

// Sum reads r to its end and returns its SHA-256 and length.
func Sum(r io.Reader) (sum [sha256.Size]byte, n int64, err error) {
	h := sha256.New()
	n, err = io.Copy(h, r)
	h.Sum(sum[:0])
	return sum, n, err
}
