package uniq

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// File is what an output is written to. Sync makes it durable.
type File interface {
	io.Writer
	Sync() error
}

// Output is a stream of lines that is written.
type Output struct {
	Name   string // for people
	Path   string // absolute, if checkpoints keep its length; else ""
	File   File
	Length int64 // bytes it holds
	Open   bool  // its last line has no "\n" yet

	// Settled is set when [Run] returns after writing all that it will ever write:
	// no later run takes any of it back.
	Settled bool

	buf []byte
}

// direct is from which length on lines are not moved together first.
const direct = 32 << 10

// add writes whole lines, of which the last one may have no "\n", at the next
// flush at the latest.
func (o *Output) add(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	if o.Open {
		o.buf = append(o.buf, '\n')
	}
	o.Open = text[len(text)-1] != '\n'
	if len(text) < direct {
		o.buf = append(o.buf, text...)
		return nil
	}
	if err := o.flush(); err != nil {
		return err
	}
	return o.write(text)
}

func (o *Output) flush() error {
	if len(o.buf) == 0 {
		return nil
	}
	err := o.write(o.buf)
	o.buf = o.buf[:0]
	return err
}

func (o *Output) write(text []byte) error {
	n, err := o.File.Write(text)
	o.Length += int64(n)
	if err != nil {
		var at *fs.PathError
		if errors.As(err, &at) {
			err = at.Err // Name says where
		}
		return fmt.Errorf("write %s: %w", o.Name, err)
	}
	return nil
}
