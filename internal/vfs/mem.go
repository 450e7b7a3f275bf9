package vfs

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// Mem is a file system in memory. It remembers which bytes and names were
// synced, so that [Mem.PowerLoss] can show what a disk might hold. Safe for use
// by several goroutines.
//
// It differs from a disk in three points: directories are always durable and
// cannot be renamed, and a file's bytes are held once more for as long as they
// are written and not synced.
type Mem struct {
	mu       sync.RWMutex
	names    map[string]*memNode // what a program sees
	durable  map[string]*memNode // what is sure to be there after power loss
	pending  []nameChange        // what leads from durable to names, in order
	dirs     map[string]bool
	locks    map[string]int // by name: how many share it, or exclusively
	capacity int64          // bytes of all files; 0: no bound
	used     int64
}

// nameChange is a create (no old name), a remove (no new one) or a rename.
type nameChange struct {
	old, new string
	node     *memNode
}

// NewMem returns an empty file system. Its root and the current directory
// exist; all others must be made.
func NewMem() *Mem {
	return &Mem{
		names:   map[string]*memNode{},
		durable: map[string]*memNode{},
		dirs:    map[string]bool{},
		locks:   map[string]int{},
	}
}

// SetCapacity makes writes that would bring the files to more than so many
// bytes fail with ENOSPC, after writing what fits. Zero takes the bound away.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

func (m *Mem) isDir(name string) bool {
	return name == "." || filepath.Dir(name) == name || m.dirs[name]
}

func (m *Mem) change(old, new string, n *memNode) {
	c := nameChange{old, new, n}
	c.apply(m.names)
	m.pending = append(m.pending, c)
}

// apply does c to a map of names. It holds even if changes before it are lost:
// a rename brings its file along.
func (c nameChange) apply(names map[string]*memNode) {
	if c.old != "" && names[c.old] == c.node {
		delete(names, c.old)
	}
	if c.new != "" {
		names[c.new] = c.node
	}
}

// Create implements [FS].
func (m *Mem) Create(name string) (File, error) {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.names[name] != nil || m.isDir(name):
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	case !m.isDir(filepath.Dir(name)):
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrNotExist}
	}
	n := &memNode{linked: true}
	m.change("", name, n)
	return &memFile{mem: m, node: n, name: name, writable: true}, nil
}

// Open implements [FS].
func (m *Mem) Open(name string) (File, error) { return m.open(name, false) }

// OpenRW implements [FS].
func (m *Mem) OpenRW(name string) (File, error) { return m.open(name, true) }

func (m *Mem) open(name string, writable bool) (File, error) {
	name = filepath.Clean(name)
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.find("open", name)
	if err != nil {
		return nil, err
	}
	return &memFile{mem: m, node: n, name: name, writable: writable}, nil
}

func (m *Mem) find(op, name string) (*memNode, error) {
	if n := m.names[name]; n != nil {
		return n, nil
	}
	if m.isDir(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: syscall.EISDIR}
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// Remove implements [FS].
func (m *Mem) Remove(name string) error {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dirs[name] {
		if len(m.list(name)) > 0 {
			return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
		}
		delete(m.dirs, name)
		return nil
	}
	n, err := m.find("remove", name)
	if err != nil {
		return err
	}
	m.unlink(n)
	m.change(name, "", n)
	return nil
}

// unlink takes a file that lost its name out of the bytes used.
func (m *Mem) unlink(n *memNode) {
	n.linked = false
	m.used -= int64(len(n.data))
}

// Rename implements [FS], for files only.
func (m *Mem) Rename(oldName, newName string) error {
	oldName, newName = filepath.Clean(oldName), filepath.Clean(newName)
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("rename", oldName)
	switch {
	case err != nil:
		return err
	case m.isDir(newName):
		return &fs.PathError{Op: "rename", Path: newName, Err: syscall.EISDIR}
	case !m.isDir(filepath.Dir(newName)):
		return &fs.PathError{Op: "rename", Path: newName, Err: fs.ErrNotExist}
	case oldName == newName:
		return nil
	}
	if replaced := m.names[newName]; replaced != nil {
		m.unlink(replaced)
	}
	m.change(oldName, newName, n)
	return nil
}

// MkdirAll implements [FS].
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var missing []string
	for dir = filepath.Clean(dir); !m.isDir(dir); dir = filepath.Dir(dir) {
		if m.names[dir] != nil {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		missing = append(missing, dir)
	}
	for _, d := range missing {
		m.dirs[d] = true
	}
	return nil
}

// List implements [FS].
func (m *Mem) List(dir string) ([]string, error) {
	dir = filepath.Clean(dir)
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.wantDir("list", dir); err != nil {
		return nil, err
	}
	return m.list(dir), nil
}

func (m *Mem) wantDir(op, dir string) error {
	switch {
	case m.isDir(dir):
		return nil
	case m.names[dir] != nil:
		return &fs.PathError{Op: op, Path: dir, Err: syscall.ENOTDIR}
	}
	return &fs.PathError{Op: op, Path: dir, Err: fs.ErrNotExist}
}

func (m *Mem) list(dir string) []string {
	names := []string{}
	for name := range m.names {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	for name := range m.dirs {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	slices.Sort(names)
	return names
}

// Stat implements [FS].
func (m *Mem) Stat(name string) (int64, error) {
	name = filepath.Clean(name)
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.isDir(name) {
		return 0, nil
	}
	n, err := m.find("stat", name)
	if err != nil {
		return 0, err
	}
	return int64(len(n.data)), nil
}

// Free implements [FS]: what is left of the capacity.
func (m *Mem) Free(dir string) (int64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.wantDir("free space", filepath.Clean(dir)); err != nil {
		return 0, err
	}
	if m.capacity == 0 {
		return math.MaxInt64, nil
	}
	return max(0, m.capacity-m.used), nil
}

// Lock implements [FS] among the users of this Mem. A copy of it has no locks.
func (m *Mem) Lock(name string) (io.Closer, error) {
	name = filepath.Clean(name)
	f, err := m.Create(name)
	if errors.Is(err, fs.ErrExist) {
		f, err = m.OpenRW(name)
	}
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[name] != 0 {
		return nil, lockedError(name)
	}
	m.locks[name] = exclusively
	return &memLock{mem: m, name: name}, nil
}

// LockShared implements [FS] among the users of this Mem.
func (m *Mem) LockShared(name string) (io.Closer, error) {
	name = filepath.Clean(name)
	if _, err := m.Stat(name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[name] == exclusively {
		return nil, lockedError(name)
	}
	m.locks[name]++
	return &memLock{mem: m, name: name}, nil
}

// exclusively is the number of locks on a file that is locked by one alone.
const exclusively = -1

type memLock struct {
	mem  *Mem
	name string // empty once closed
}

func (l *memLock) Close() error {
	l.mem.mu.Lock()
	defer l.mem.mu.Unlock()
	if l.name == "" {
		return fs.ErrClosed
	}
	if l.mem.locks[l.name]--; l.mem.locks[l.name] <= 0 {
		delete(l.mem.locks, l.name)
	}
	l.name = ""
	return nil
}
