package vfs

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Op is a kind of operation on a file system, as [Fault] counts and records it.
type Op uint8

// The operations, named as the methods of FS and File.
const (
	OpCreate Op = iota
	OpOpen
	OpOpenRW
	OpRemove
	OpRename
	OpMkdirAll
	OpList
	OpStat
	OpFree
	OpSyncDir
	OpLock
	OpLockShared
	OpRead
	OpWrite
	OpSize
	OpTruncate
	OpSync
	OpClose
	opCount
)

var opNames = [opCount]string{
	OpCreate: "create", OpOpen: "open", OpOpenRW: "openrw", OpRemove: "remove", OpRename: "rename",
	OpMkdirAll: "mkdir", OpList: "list", OpStat: "stat", OpFree: "free", OpSyncDir: "syncdir",
	OpLock: "lock", OpLockShared: "lockshared", OpRead: "read", OpWrite: "write", OpSize: "size", OpTruncate: "truncate",
	OpSync: "sync", OpClose: "close",
}

func (o Op) String() string {
	if o < opCount {
		return opNames[o]
	}
	return fmt.Sprintf("Op(%d)", uint8(o))
}

// Changes reports whether the operation can change what is stored: those a
// crash test stops before, one after the other.
func (o Op) Changes() bool {
	switch o {
	case OpCreate, OpRemove, OpRename, OpMkdirAll, OpSyncDir, OpLock, OpWrite, OpTruncate, OpSync:
		return true
	}
	return false
}

// maxTranscript bounds the lines that a Fault records.
const maxTranscript = 1 << 16

// Hook is asked before each operation and makes it fail by returning an error.
// The name is the one the operation was given, a rename's old one. It may be
// called by several goroutines at once, and may look at the file system below.
type Hook func(op Op, name string) error

// Fault is a file system that fails on command, counts and records. Files
// opened through it are under its hook for as long as they live.
type Fault struct {
	fs FS

	mu     sync.Mutex
	hook   Hook
	counts [opCount]int
	record bool
	lines  []string
}

// NewFault returns a Fault around fs. A nil hook lets everything pass.
func NewFault(fs FS, hook Hook) *Fault { return &Fault{fs: fs, hook: hook} }

// SetHook changes the hook; nil lets everything pass.
func (f *Fault) SetHook(hook Hook) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// Count returns how many operations of these kinds were asked for, failed ones
// included; of all kinds if none is named.
func (f *Fault) Count(ops ...Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for op, count := range f.counts {
		if len(ops) == 0 || slices.Contains(ops, Op(op)) {
			n += count
		}
	}
	return n
}

// Record starts a new transcript: see [Fault.Transcript].
func (f *Fault) Record() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.record, f.lines = true, nil
}

// Transcript returns the operations since Record, a line each, without the
// paths of the names; writes and reads as offset+length. It keeps the first
// 65,536.
func (f *Fault) Transcript() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.lines) == 0 {
		return ""
	}
	return strings.Join(f.lines, "\n") + "\n"
}

// before counts, records and asks the hook.
func (f *Fault) before(op Op, name, details string) error {
	f.mu.Lock()
	f.counts[op]++
	hook, line := f.hook, -1
	if f.record && len(f.lines) < maxTranscript {
		line = len(f.lines)
		f.lines = append(f.lines, strings.TrimRight(op.String()+" "+filepath.Base(name)+" "+details, " "))
	}
	f.mu.Unlock()
	if hook == nil {
		return nil
	}
	err := hook(op, name)
	if err == nil {
		return nil
	}
	f.mu.Lock()
	if line >= 0 && line < len(f.lines) {
		f.lines[line] += ": " + err.Error()
	}
	f.mu.Unlock()
	return fmt.Errorf("%v %s: %w", op, name, err)
}

// FailNth returns a hook that lets n operations of these kinds pass (of all
// kinds if none is named), then fails one with err, then lets all pass.
func FailNth(n int, err error, ops ...Op) Hook {
	return failWhen(err, ops, func(i int) bool { return i == n })
}

// FailFrom is [FailNth] for a disk that stays broken: it fails all after n.
func FailFrom(n int, err error, ops ...Op) Hook {
	return failWhen(err, ops, func(i int) bool { return i >= n })
}

func failWhen(err error, ops []Op, when func(i int) bool) Hook {
	var mu sync.Mutex
	seen := 0
	return func(op Op, _ string) error {
		if len(ops) > 0 && !slices.Contains(ops, op) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		seen++
		if when(seen - 1) {
			return err
		}
		return nil
	}
}

// Short returns an error by which a hook makes a write put only its first n
// bytes on the disk, and then fail with err.
func Short(n int, err error) error { return &shortError{n, err} }

type shortError struct {
	n   int
	err error
}

func (e *shortError) Error() string { return fmt.Sprintf("%v after %d bytes", e.err, e.n) }
func (e *shortError) Unwrap() error { return e.err }

// The methods of FS.

func (f *Fault) Create(name string) (File, error) { return f.open(OpCreate, name, f.fs.Create) }
func (f *Fault) Open(name string) (File, error)   { return f.open(OpOpen, name, f.fs.Open) }
func (f *Fault) OpenRW(name string) (File, error) { return f.open(OpOpenRW, name, f.fs.OpenRW) }

func (f *Fault) open(op Op, name string, open func(string) (File, error)) (File, error) {
	if err := f.before(op, name, ""); err != nil {
		return nil, err
	}
	file, err := open(name)
	if err != nil {
		return nil, err
	}
	return &faultFile{file, f}, nil
}

func (f *Fault) Remove(name string) error {
	if err := f.before(OpRemove, name, ""); err != nil {
		return err
	}
	return f.fs.Remove(name)
}

func (f *Fault) Rename(oldName, newName string) error {
	if err := f.before(OpRename, oldName, filepath.Base(newName)); err != nil {
		return err
	}
	return f.fs.Rename(oldName, newName)
}

func (f *Fault) MkdirAll(dir string) error {
	if err := f.before(OpMkdirAll, dir, ""); err != nil {
		return err
	}
	return f.fs.MkdirAll(dir)
}

func (f *Fault) List(dir string) ([]string, error) {
	if err := f.before(OpList, dir, ""); err != nil {
		return nil, err
	}
	return f.fs.List(dir)
}

func (f *Fault) Stat(name string) (int64, error) {
	if err := f.before(OpStat, name, ""); err != nil {
		return 0, err
	}
	return f.fs.Stat(name)
}

func (f *Fault) Free(dir string) (int64, error) {
	if err := f.before(OpFree, dir, ""); err != nil {
		return 0, err
	}
	return f.fs.Free(dir)
}

func (f *Fault) SyncDir(dir string) error {
	if err := f.before(OpSyncDir, dir, ""); err != nil {
		return err
	}
	return f.fs.SyncDir(dir)
}

func (f *Fault) Lock(name string) (io.Closer, error) {
	if err := f.before(OpLock, name, ""); err != nil {
		return nil, err
	}
	return f.fs.Lock(name)
}

func (f *Fault) LockShared(name string) (io.Closer, error) {
	if err := f.before(OpLockShared, name, ""); err != nil {
		return nil, err
	}
	return f.fs.LockShared(name)
}

type faultFile struct {
	File
	fault *Fault
}

func extent(off int64, p []byte) string { return fmt.Sprintf("%d+%d", off, len(p)) }

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fault.before(OpRead, f.Name(), extent(off, p)); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	err := f.fault.before(OpWrite, f.Name(), extent(off, p))
	if short := (*shortError)(nil); errors.As(err, &short) {
		n, werr := f.File.WriteAt(p[:max(0, min(short.n, len(p)))], off)
		return n, errors.Join(err, werr)
	}
	if err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultFile) Size() (int64, error) {
	if err := f.fault.before(OpSize, f.Name(), ""); err != nil {
		return 0, err
	}
	return f.File.Size()
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.fault.before(OpTruncate, f.Name(), fmt.Sprint(size)); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultFile) Sync() error {
	if err := f.fault.before(OpSync, f.Name(), ""); err != nil {
		return err
	}
	return f.File.Sync()
}

// Close closes the file below even if the hook makes it fail, as close does.
func (f *faultFile) Close() error {
	err := f.fault.before(OpClose, f.Name(), "")
	return errors.Join(err, f.File.Close())
}
