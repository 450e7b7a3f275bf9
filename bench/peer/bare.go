package peer

import (
	"fmt"
	"math/bits"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hapaxmq/hapax/bench/stream"
)

// Bare is the physical reference: the least that a fingerprint table can do.
// It hashes with SipHash-2-4-128, reads one cache line of four 16-byte entries
// (the next line if that one is full), and stores. Nothing is ever forgotten,
// grown, locked or written to disk. It lies off the Go heap on huge pages and
// is presized. Not safe for concurrent use.
type Bare struct {
	mapping []byte
	lines   unsafe.Pointer // to count lines of 64 bytes
	count   uint64
}

type entry struct{ a, b uint64 } // both 0: free

type line [4]entry

// BareLoad is how full a presized table gets.
const BareLoad = 0.8

const hugePage = 2 << 20

// NewBare maps a table that is BareLoad full with n ids.
func NewBare(n int64) (*Bare, error) {
	count := int64(float64(n)/BareLoad)/4 + 1
	size := int(count+1)*64 + hugePage // one line more, so that each has a next one to touch
	mapping, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map bare table of %d bytes: %w", size, err)
	}
	skip := -uintptr(unsafe.Pointer(&mapping[0])) & (hugePage - 1)
	aligned := mapping[skip : skip+uintptr(count+1)*64]
	// Without huge pages the table is slower, not wrong: the error is ignored.
	_ = unix.Madvise(aligned, unix.MADV_HUGEPAGE)
	return &Bare{mapping: mapping, lines: unsafe.Pointer(&aligned[0]), count: uint64(count)}, nil
}

// Take takes ids in one by one and returns how many were new.
func (t *Bare) Take(ids []stream.ID) (fresh int, err error) {
	for i := range ids {
		a, b := hash(&ids[i])
		if t.add(t.place(a), entry{a, b}) {
			fresh++
		}
	}
	return fresh, nil
}

// BareBatch is the size of the batches of TakeBatches.
const BareBatch = 256

// TakeBatches takes ids in by batches of BareBatch. It reads a word of every
// line of a batch, and of the line behind it, before the first one is needed,
// so that misses overlap.
func (t *Bare) TakeBatches(ids []stream.ID) (fresh int, err error) {
	var entries [BareBatch]entry
	var places [BareBatch]uint64
	var touched uint64
	for len(ids) > 0 {
		batch := ids[:min(BareBatch, len(ids))]
		ids = ids[len(batch):]
		for i := range batch {
			a, b := hash(&batch[i])
			entries[i] = entry{a, b}
			places[i] = t.place(a)
		}
		for _, at := range places[:len(batch)] {
			touched |= t.line(at)[0].a | t.line(at + 1)[0].a
		}
		for i := range batch {
			if t.add(places[i], entries[i]) {
				fresh++
			}
		}
	}
	if touched == 0 && fresh < 0 {
		return 0, nil // never: keeps the reads above
	}
	return fresh, nil
}

// add stores e unless it is there, and says whether it was new. Lines fill
// from the front and nothing is removed, so the first free entry ends a probe.
func (t *Bare) add(at uint64, e entry) bool {
	for {
		line := t.line(at)
		for i := range line {
			switch line[i] {
			case e:
				return false
			case entry{}:
				line[i] = e
				return true
			}
		}
		if at++; at == t.count {
			at = 0
		}
	}
}

// place maps a hash to a line without a division (Lemire 2016).
func (t *Bare) place(a uint64) uint64 {
	high, _ := bits.Mul64(a, t.count)
	return high
}

func (t *Bare) line(at uint64) *line { return (*line)(unsafe.Add(t.lines, at*64)) }

// Close unmaps the table.
func (t *Bare) Close() error { return unix.Munmap(t.mapping) }
