package wal

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// Suffix is what the name of a log's file ends in; its number stands before it.
const Suffix = ".log"

// Path is the name of the file with a number.
func Path(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", number, Suffix))
}

// Listed is a file of a log as it is found.
type Listed struct {
	Number uint64
	Path   string
	Size   int64
}

// List returns the log's files in dir, oldest first.
func List(fsys vfs.FS, dir string) ([]Listed, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	var files []Listed
	for _, name := range names {
		stem, ok := strings.CutSuffix(name, Suffix)
		if !ok {
			continue
		}
		number, err := strconv.ParseUint(stem, 16, 64)
		if err != nil || len(stem) != 16 {
			return nil, fmt.Errorf("%w: %s is no name of a log file: move it away", hapax.ErrCorrupt, filepath.Join(dir, name))
		}
		f := Listed{Number: number, Path: Path(dir, number)}
		if filepath.Base(f.Path) != name { // such as one in capitals
			return nil, fmt.Errorf("%w: %s is no name of a log file: call it %s, or move it away",
				hapax.ErrCorrupt, filepath.Join(dir, name), filepath.Base(f.Path))
		}
		if f.Size, err = fsys.Stat(f.Path); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}
