package ledgertest

import (
	"errors"
	"io"
	"io/fs"
	"math/rand"
	"path/filepath"
	"testing"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// Disk is a place for one ledger's files.
type Disk struct {
	FS  vfs.FS // nil: the operating system's
	Dir string

	// Killed is a copy of the files as a killed process would leave them now.
	Killed func(tb reporter) Disk
	// PowerLost is a copy as a loss of power would leave them: of what was not
	// synced, rng chooses what is there. Nil: cannot be shown.
	PowerLost func(rng *rand.Rand) Disk
}

// MemoryDisk is a place in a file system in memory.
func MemoryDisk(testing.TB) Disk {
	const dir = "/ledger"
	return memoryDisk(vfs.NewMem(), dir)
}

func memoryDisk(m *vfs.Mem, dir string) Disk {
	return Disk{
		FS:        m,
		Dir:       dir,
		Killed:    func(reporter) Disk { return memoryDisk(m.KillCopy(), dir) },
		PowerLost: func(rng *rand.Rand) Disk { return memoryDisk(m.PowerLoss(rng), dir) },
	}
}

// RealDisk is a temporary directory.
func RealDisk(tb testing.TB) Disk {
	at := vfs.OS()
	dir := tb.TempDir()
	d := Disk{FS: at, Dir: dir}
	d.Killed = func(r reporter) Disk {
		next := RealDisk(tb)
		for name, content := range contents(r, at, dir) {
			put(r, next.FS, filepath.Join(next.Dir, name), content)
		}
		return next
	}
	return d
}

// contents reads all files of a directory, without those below it.
func contents(r reporter, from vfs.FS, dir string) map[string][]byte {
	r.Helper()
	names, err := from.List(dir)
	if err != nil {
		r.Fatalf("read the ledger's files: %v", err)
	}
	files := make(map[string][]byte, len(names))
	for _, name := range names {
		content, err := read(from, filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since
		}
		if err != nil {
			r.Fatalf("read the ledger's files: %v", err)
		}
		files[name] = content
	}
	return files
}

func read(from vfs.FS, name string) (content []byte, err error) {
	f, err := from.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	content = make([]byte, size)
	n, err := f.ReadAt(content, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return content[:n], nil
}

// put writes a file that does not exist yet.
func put(r reporter, to vfs.FS, name string, content []byte) {
	r.Helper()
	f, err := to.Create(name)
	if err == nil {
		_, err = f.WriteAt(content, 0)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		r.Fatalf("copy the ledger's files: %v", err)
	}
}
