package vfs

import (
	"bytes"
	"io"
	"io/fs"
	"slices"
	"syscall"
)

const (
	// sectorSize is what a disk writes wholly or not at all, at best.
	sectorSize = 512
	// maxVersions bounds what is remembered of a sector that is written again
	// and again without a sync: what was synced, and the latest contents.
	maxVersions = 8
)

// zeros is a sector of them; nobody writes to it.
var zeros [sectorSize]byte

// memNode is a file's contents, apart from its names. Mem.mu guards it.
type memNode struct {
	data   []byte
	linked bool // it has a name

	// What power loss may bring back. A sector that was written since the last
	// sync has its earlier contents here, the synced one first; nil is zeros.
	earlier map[int64][][]byte
	// The size at the last sync, and the smallest and largest since.
	synced, least, most int64
}

// remember keeps the contents of the sectors of [from, to) before written comes
// there, nil for zeros, but for those that it does not change: zeros written ahead
// are many.
func (n *memNode) remember(from, to int64, written []byte) {
	if n.earlier == nil {
		n.earlier = map[int64][][]byte{}
	}
	for s := from / sectorSize; s*sectorSize < to; s++ {
		first, end := max(from, s*sectorSize), min(to, (s+1)*sectorSize)
		after := zeros[:end-first]
		if written != nil {
			after = written[first-from : end-from]
		}
		if n.has(first, after) {
			continue
		}
		versions := n.earlier[s]
		if len(versions) == maxVersions {
			versions = slices.Delete(versions, 1, 2)
		}
		n.earlier[s] = append(versions, n.sector(s))
	}
}

// has tells whether these bytes are at off; behind the end of the file are zeros.
func (n *memNode) has(off int64, b []byte) bool {
	within := min(max(int64(len(n.data))-off, 0), int64(len(b)))
	behind := b[within:]
	at := min(off, int64(len(n.data)))
	return bytes.Equal(b[:within], n.data[at:][:within]) && bytes.Equal(behind, zeros[:len(behind)])
}

// sector returns a copy of a sector's contents, nil if the file ends before it.
func (n *memNode) sector(s int64) []byte {
	if s*sectorSize >= int64(len(n.data)) {
		return nil
	}
	contents := make([]byte, sectorSize)
	copy(contents, n.data[s*sectorSize:])
	return contents
}

func (n *memNode) resized() {
	n.least = min(n.least, int64(len(n.data)))
	n.most = max(n.most, int64(len(n.data)))
}

func (n *memNode) sync() {
	n.earlier = nil
	n.synced = int64(len(n.data))
	n.least, n.most = n.synced, n.synced
}

type memFile struct {
	mem      *Mem
	node     *memNode
	name     string
	writable bool
	closed   bool // guarded by mem.mu
}

func (f *memFile) Name() string { return f.name }

// check says why an operation cannot be done, if it cannot.
func (f *memFile) check(op string, write bool, off int64) error {
	var err error
	switch {
	case f.closed:
		err = fs.ErrClosed
	case write && !f.writable:
		err = syscall.EBADF
	case off < 0:
		err = syscall.EINVAL
	default:
		return nil
	}
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.mem.mu.RLock()
	defer f.mem.mu.RUnlock()
	if err := f.check("read", false, off); err != nil {
		return 0, err
	}
	n := 0
	if off < int64(len(f.node.data)) {
		n = copy(p, f.node.data[off:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.check("write", true, off); err != nil {
		return 0, err
	}
	fits, full := f.mem.room(f.node, off+int64(len(p)))
	p = p[:min(len(p), int(max(0, fits-off)))]
	if len(p) > 0 {
		end := off + int64(len(p))
		f.node.remember(off, end, p)
		f.mem.resize(f.node, max(end, int64(len(f.node.data))))
		copy(f.node.data[off:], p)
	}
	if full {
		return len(p), &fs.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
	}
	return len(p), nil
}

func (f *memFile) Truncate(size int64) error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.check("truncate", true, size); err != nil {
		return err
	}
	if _, full := f.mem.room(f.node, size); full {
		return &fs.PathError{Op: "truncate", Path: f.name, Err: syscall.ENOSPC}
	}
	if old := int64(len(f.node.data)); size < old {
		f.node.remember(size, old, nil)
		clear(f.node.data[size:])
	}
	f.mem.resize(f.node, size)
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.mem.mu.RLock()
	defer f.mem.mu.RUnlock()
	if err := f.check("stat", false, 0); err != nil {
		return 0, err
	}
	return int64(len(f.node.data)), nil
}

func (f *memFile) Sync() error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.check("sync", false, 0); err != nil {
		return err
	}
	f.node.sync()
	return nil
}

func (f *memFile) Close() error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.check("close", false, 0); err != nil {
		return err
	}
	f.closed = true
	return nil
}

// room returns how long n may get on its way to size, and whether that is less.
func (m *Mem) room(n *memNode, size int64) (fits int64, full bool) {
	have := int64(len(n.data))
	if m.capacity == 0 || size <= have {
		return size, false
	}
	if fits = have + max(0, m.capacity-m.used); fits < size {
		return fits, true
	}
	return size, false
}

// resize cuts n or extends it with zeros.
func (m *Mem) resize(n *memNode, size int64) {
	old := int64(len(n.data))
	if size > int64(cap(n.data)) {
		n.data = slices.Grow(n.data, int(max(size, 2*old)-old))
	}
	n.data = n.data[:size]
	if size > old {
		clear(n.data[old:])
	}
	if n.linked {
		m.used += size - old
	}
	n.resized()
}
