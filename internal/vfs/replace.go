package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// TempSuffix is what the name of a file ends in while [Replace] makes it. After
// a crash such a file holds nothing and may be removed.
const TempSuffix = ".new"

// Replace puts a file with this content behind path, in place of one that may be
// there. After a crash there is the old file or the new one, wholly. On return the
// content and the name are durable; after an error of the last step, which makes
// the name durable, either file may be there.
//
// A file under the temporary name that a crash left is overwritten. Two calls for
// one path must not run at once.
func Replace(fsys FS, path string, content []byte) error {
	return ReplaceBy(fsys, path, func(f File) error {
		_, err := f.WriteAt(content, 0)
		return err
	})
}

// ReplaceBy is Replace by what write puts into the empty file it is given.
func ReplaceBy(fsys FS, path string, write func(File) error) error {
	temp := path + TempSuffix
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := writeNew(fsys, temp, write)
	if err == nil {
		err = fsys.Rename(temp, path)
	}
	if err != nil {
		_ = fsys.Remove(temp) // the next call would
		return fmt.Errorf("write %s: %w", path, err)
	}
	return fsys.SyncDir(filepath.Dir(path))
}

// writeNew makes a file by what write puts into it, synced and closed: Windows
// renames no open file.
func writeNew(fsys FS, name string, write func(File) error) error {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
