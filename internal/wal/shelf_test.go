package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hapaxmq/hapax/internal/vfs"
)

const (
	kindRecord = 1 + iota
	kindCount
	kindShelved
)

// shelf is an owner of a log: records with the numbers 1, 2, 3 …, the last of which
// it can show.
type shelf struct {
	log  *Log
	keep int // records to be shown

	mu     sync.RWMutex // appends share it; Hold does not
	state  sync.Mutex
	n      uint64     // the last number
	stands []standing // of the last records, oldest first

	acked atomic.Uint64
}

type standing struct {
	file   uint64
	offset int64
	n      uint64
}

func content(n uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, n)
	return append(b, bytes.Repeat([]byte{byte(n)}, int(n*37%150))...)
}

func openShelf(fsys vfs.FS, o Options, keep int) (*shelf, error) {
	s := &shelf{keep: keep}
	o.Kind, o.Snapshot = testKind, s.snapshot
	if o.FileSize == 0 {
		o.FileSize = 2000
	}
	o.Segment.Prewrite = 1000 // a disk in memory takes long over zeros
	o.Needed = func() map[uint64]int64 {
		s.state.Lock()
		defer s.state.Unlock()
		needed := make(map[uint64]int64)
		for _, p := range s.stands {
			needed[p.file]++
		}
		return needed
	}
	o.Hold = func(f func() error) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return f()
	}
	var err error
	s.log, err = Open(fsys, "d", o, s.replay)
	return s, err
}

func (s *shelf) snapshot(add Add) error {
	for _, p := range s.stands {
		b := binary.BigEndian.AppendUint64(nil, p.file)
		b = binary.BigEndian.AppendUint64(b, uint64(p.offset))
		if err := add(kindShelved, b, binary.BigEndian.AppendUint64(nil, p.n)); err != nil {
			return err
		}
	}
	return add(kindCount, binary.BigEndian.AppendUint64(nil, s.n))
}

func (s *shelf) replay(f Frame) error {
	n := binary.BigEndian.Uint64(f.Payload)
	switch f.Kind {
	case kindRecord:
		if n != s.n+1 || !bytes.Equal(f.Payload, content(n)) {
			return fmt.Errorf("record %d behind %d", n, s.n)
		}
		s.put(standing{f.File, f.Offset, n})
	case kindShelved:
		s.stands = append(s.stands, standing{n, int64(binary.BigEndian.Uint64(f.Payload[8:])), binary.BigEndian.Uint64(f.Payload[16:])})
	case kindCount:
		s.n = n
	default:
		return fmt.Errorf("kind %d", f.Kind)
	}
	return nil
}

func (s *shelf) put(p standing) {
	s.n = p.n
	s.stands = append(s.stands, p)
	if len(s.stands) > s.keep {
		s.stands = s.stands[1:]
	}
}

// add appends a record.
func (s *shelf) add() (n uint64, end int64, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.state.Lock()
	defer s.state.Unlock()
	n = s.n + 1
	b := content(n)
	p, err := s.log.Append(kindRecord, b[:8], b[8:])
	if err != nil {
		return 0, 0, err
	}
	s.put(standing{p.File, p.Offset, n})
	return n, p.End, nil
}

func (s *shelf) ack(n uint64) {
	for was := s.acked.Load(); was < n && !s.acked.CompareAndSwap(was, n); was = s.acked.Load() {
	}
}

// rest waits until the background has done what it was called for.
func (s *shelf) rest() {
	for busy := true; busy; runtime.Gosched() {
		s.log.mu.Lock()
		busy = s.log.next == math.MaxInt64 && s.log.err == nil
		s.log.mu.Unlock()
	}
}

// addSynced appends a record and waits for it.
func (s *shelf) addSynced() error {
	n, end, err := s.add()
	if err == nil {
		err = s.log.Sync(end)
	}
	if err == nil {
		s.ack(n)
	}
	return err
}

// shown reads a record that stands in the log.
func (s *shelf) shown(p standing) error {
	f, err := s.log.File(p.file)
	if err != nil {
		return err
	}
	defer f.Release()
	b := make([]byte, len(content(p.n)))
	if _, err := f.ReadAt(b, p.offset); err != nil {
		return err
	}
	if !bytes.Equal(b, content(p.n)) {
		return fmt.Errorf("record %d at %d of file %d is %x", p.n, p.offset, p.file, b)
	}
	return nil
}

func (s *shelf) standing() []standing {
	s.state.Lock()
	defer s.state.Unlock()
	return append([]standing(nil), s.stands...)
}

// check demands that the shelf has so many records, at least and at most, and shows
// the last of them.
func (s *shelf) check(least, most uint64) error {
	if s.n < least || s.n > most {
		return fmt.Errorf("%d records, want %d to %d", s.n, least, most)
	}
	stands := s.standing()
	if len(stands) != min(int(s.n), s.keep) {
		return fmt.Errorf("%d of %d records are shown", len(stands), s.n)
	}
	for i, p := range stands {
		if p.n != s.n-uint64(len(stands)-1-i) {
			return fmt.Errorf("record %d is %d", i, p.n)
		}
		if err := s.shown(p); err != nil {
			return err
		}
	}
	return nil
}

// wantShelf opens what a life left, demands it, goes on with it and closes it.
func wantShelf(t testing.TB, what string, disk *vfs.Mem, keep int, least, most uint64) uint64 {
	t.Helper()
	s, err := openShelf(disk, Options{}, keep)
	if err == nil {
		err = s.check(least, most)
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	n := s.n
	if again, err := openShelf(disk.PowerLoss(nil), Options{}, keep); err != nil {
		t.Fatalf("%s, opened: %v", what, err)
	} else if err := again.check(n, n); err != nil {
		t.Fatalf("%s, opened: %v", what, err)
	} else {
		must(t, again.log.Close())
	}
	for range 3 {
		must(t, s.addSynced())
	}
	if err := errors.Join(s.check(n+3, n+3), s.log.Close()); err != nil {
		t.Fatalf("%s, gone on: %v", what, err)
	}
	return n
}
