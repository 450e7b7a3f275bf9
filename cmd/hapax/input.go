package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/hapaxmq/hapax/internal/lines"
)

// What compressed files begin with.
const (
	gzipMagic = "\x1f\x8b"
	zstdMagic = "\x28\xb5\x2f\xfd"
)

// opened is an input of which nothing was read yet.
type opened struct {
	name    string
	file    *os.File
	info    fs.FileInfo // nil for standard input
	regular bool
	text    *bufio.Reader // its lines, decompressed; nil for a plain file, which is read by itself
	closers []func() error
}

// inputs opens the files one after the other, each when its turn comes, and
// closes them. No files, or "-", are standard input. Place, if it is not nil, may
// say where to begin to read; what it leaves without a reader is left out.
func (w *world) inputs(files []string, place func(*opened, *lines.Input) error) iter.Seq2[*lines.Input, error] {
	if len(files) == 0 {
		files = []string{"-"}
	}
	return func(yield func(*lines.Input, error) bool) {
		for _, name := range files {
			o, err := w.open(name)
			if err != nil {
				yield(nil, err)
				return
			}
			in := &lines.Input{Name: o.name, Reader: o.reader(), Live: !o.regular}
			if place != nil {
				err = place(o, in)
			}
			more := true
			switch {
			case err != nil:
				more = yield(nil, err)
			case in.Reader != nil:
				more = yield(in, nil)
			}
			if err := o.close(); err != nil && more {
				more = yield(nil, err)
			}
			if !more || err != nil {
				return
			}
		}
	}
}

// checkFiles finds what is wrong with inputs and outputs before anything is done:
// to write to what is yet to be read would destroy it. An output "" is standard
// output.
func (w *world) checkFiles(files []string, outputs ...string) error {
	if len(files) == 0 {
		files = []string{"-"}
	}
	stdin := 0
	for _, name := range files {
		var info fs.FileInfo
		if name == "-" {
			stdin++
			if info = regular(w.stdin); info == nil {
				continue
			}
			name = "standard input"
		} else {
			var err error
			if info, err = os.Stat(name); errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s: there is no such file: check the name, or name - for standard input", name)
			} else if err != nil {
				return err
			}
		}
		if info.IsDir() {
			return fmt.Errorf("%s is a directory: name the files in it", name)
		}
		for _, output := range outputs {
			if info.Mode().IsRegular() && w.sameAs(info, output) {
				return usage("%s is both an input and an output: write to another file", name)
			}
		}
	}
	if stdin > 1 {
		return usage("standard input (-) is named twice")
	}
	return nil
}

// sameAs tells whether a file is the one that an output writes to.
func (w *world) sameAs(file fs.FileInfo, output string) bool {
	var info fs.FileInfo
	if output == "" {
		info = regular(w.stdout)
	} else {
		info, _ = os.Stat(output) // it may not be there yet
	}
	return info != nil && os.SameFile(file, info)
}

// regular is what is known of a stream if it is a file that can be named, or a
// directory; else nil.
func regular(stream any) fs.FileInfo {
	f, ok := stream.(*os.File)
	if !ok {
		return nil
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
		return nil
	}
	return info
}

func (w *world) open(name string) (*opened, error) {
	if name == "-" {
		o := &opened{name: "standard input", text: bufio.NewReaderSize(w.stdin, 64<<10)}
		o.regular = regular(w.stdin) != nil
		if err := o.decompress(""); err != nil {
			return nil, err
		}
		return o, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	o := &opened{name: name, file: f, closers: []func() error{f.Close}}
	if o.info, err = f.Stat(); err == nil {
		o.regular = o.info.Mode().IsRegular()
		o.text = bufio.NewReaderSize(f, 64<<10)
		err = o.decompress(filepath.Ext(name))
	}
	if err != nil {
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

// decompress puts a decompressor before the text if it begins like one's output.
// A file that a suffix calls compressed must be. A plain file is read by itself.
func (o *opened) decompress(suffix string) error {
	gzipped := begins(o.text, gzipMagic)
	switch {
	case gzipped || strings.EqualFold(suffix, ".gz"):
		z, err := gzip.NewReader(o.text)
		if errors.Is(err, io.ErrUnexpectedEOF) && !gzipped {
			err = gzip.ErrHeader
		}
		if err != nil {
			return fmt.Errorf("%s: %w", o.name, unpackError("gzip", err))
		}
		o.text = bufio.NewReaderSize(unpacked{z, "gzip"}, 64<<10)
	case begins(o.text, zstdMagic) || strings.EqualFold(suffix, ".zst"):
		if _, err := o.text.Peek(1); err != nil { // the decoder takes nothing for no frames
			return fmt.Errorf("%s: %w", o.name, unpackError("zstd", err))
		}
		z, err := zstd.NewReader(o.text, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return fmt.Errorf("%s: %w", o.name, unpackError("zstd", err))
		}
		o.text = bufio.NewReaderSize(unpacked{z, "zstd"}, 64<<10)
		o.closers = append([]func() error{func() error { z.Close(); return nil }}, o.closers...)
	case o.regular && o.file != nil:
		o.text = nil
		if _, err := o.file.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	return nil
}

// unpacked is the text of a compressed file.
type unpacked struct {
	io.Reader
	format string
}

// Read says in plain words what is wrong with the file.
func (u unpacked) Read(b []byte) (int, error) {
	n, err := u.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = unpackError(u.format, err)
	}
	return n, err
}

func unpackError(format string, err error) error {
	var at *fs.PathError
	switch {
	case errors.As(err, &at): // the disk's
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("its %s data is cut short: the file is not whole", format)
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, zstd.ErrMagicMismatch):
		return fmt.Errorf("it is not %s, as its name says, or something else comes behind that: %w", format, err)
	}
	return fmt.Errorf("its %s data is damaged: %w", format, err)
}

// begins waits for no more bytes than it needs to tell.
func begins(r *bufio.Reader, magic string) bool {
	for n := range len(magic) {
		if b, err := r.Peek(n + 1); err != nil || b[n] != magic[n] {
			return false
		}
	}
	return true
}

func (o *opened) reader() io.Reader {
	if o.text != nil {
		return o.text
	}
	return o.file
}

func (o *opened) close() error {
	var err error
	for _, c := range o.closers {
		err = errors.Join(err, c())
	}
	return err
}
