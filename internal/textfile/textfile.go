// Package textfile is a small file that people may read and nobody may change
// unnoticed: a value as JSON, and in the last line the CRC-32C (Castagnoli) of
// everything before that line.
//
//	{
//	  "format": 1
//	}
//	crc32c 3f1c8d5a
package textfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// MaxSize bounds the files that Read reads, in bytes.
const MaxSize = 1 << 20

// Write replaces the file by a value. On return the file and its name are durable.
func Write(fsys vfs.FS, path string, value any) error {
	text, err := Encode(value)
	if err != nil {
		return err
	}
	return vfs.Replace(fsys, path, text)
}

// Encode is what Write writes.
func Encode(value any) ([]byte, error) {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return nil, err
	}
	text = append(text, '\n')
	return fmt.Appendf(text, "crc32c %s\n", Sum(text)), nil
}

// Sum is the checksum of a text, as it stands in its last line.
func Sum(body []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

// Read reads a file into the value that a pointer points to. A file that is not as
// it was written is a [hapax.ErrCorrupt].
func Read(fsys vfs.FS, path string, value any) error {
	f, err := fsys.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size > MaxSize {
		return fmt.Errorf("%w: %s has %d bytes", hapax.ErrCorrupt, path, size)
	}
	text := make([]byte, size)
	if _, err := f.ReadAt(text, 0); err != nil && size > 0 {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return Decode(path, text, value)
}

// Decode is Read of what the file holds; the path is for errors.
func Decode(path string, text []byte, value any) error {
	body, sum, ok := bytes.Cut(text, []byte("crc32c "))
	if !ok || string(sum) != Sum(body)+"\n" {
		return fmt.Errorf("%w: %s does not match its checksum: restore it from a backup", hapax.ErrCorrupt, path)
	}
	if err := json.Unmarshal(body, value); err != nil {
		return fmt.Errorf("%w: read %s: %w", hapax.ErrCorrupt, path, err)
	}
	return nil
}
