package partition

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sort"

	"github.com/hapaxmq/hapax/internal/wal"
)

// Aborted is a transaction whose records a reader of committed ones leaves out,
// from its first offset on to its marker.
type Aborted struct {
	Producer int64
	First    int64
	Last     int64 // its marker's

	// stable is an offset below which no later entry begins: that of the oldest
	// transaction that was open behind the marker, or the next one.
	stable int64
}

// abortions are a partition's aborted transactions, in the order of their markers.
// They take 32 bytes each.
type abortions []Aborted

// between are those that reach into the offsets from one on up to another, in the
// order of their first offsets, which is what clients want.
func (x abortions) between(from, to int64) (found []Aborted) {
	at := sort.Search(len(x), func(i int) bool { return x[i].Last >= from })
	for _, a := range x[at:] {
		if a.First < to {
			found = append(found, a)
		}
		if a.stable >= to {
			break
		}
	}
	slices.SortFunc(found, func(a, b Aborted) int { return cmp.Compare(a.First, b.First) })
	return found
}

// trim lets those go whose marker is below start.
func (x *abortions) trim(start int64) {
	gone := sort.Search(len(*x), func(i int) bool { return (*x)[i].Last >= start })
	*x = slices.Delete(*x, 0, gone)
}

// snapshot adds them all.
func (x abortions) snapshot(number uint32, add wal.Add) error {
	for some := range slices.Chunk(x, maxExtents) {
		b := binary.LittleEndian.AppendUint32(nil, number)
		last := int64(0)
		for _, a := range some {
			b = binary.AppendUvarint(b, uint64(a.Producer))
			b = binary.AppendUvarint(b, uint64(a.Last-last))
			b = binary.AppendUvarint(b, uint64(a.Last-a.First))
			b = binary.AppendUvarint(b, uint64(a.Last+1-a.stable))
			last = a.Last
		}
		if err := add(FrameAborted, b); err != nil {
			return err
		}
	}
	return nil
}

// RestoreAborted takes over some aborted transactions that a snapshot has. rest is
// the payload behind the number.
func (p Replay) RestoreAborted(rest []byte) error {
	r := numbers{b: rest}
	last := int64(0)
	for len(r.b) > 0 {
		a := Aborted{Producer: r.uvarint(), Last: last + r.uvarint()}
		a.First = a.Last - r.uvarint()
		a.stable = a.Last + 1 - r.uvarint()
		if r.bad || a.Last >= p.end || a.First < 0 || a.stable < 0 {
			return corrupt(p.number, "its aborted transactions are cut off")
		}
		p.aborted = append(p.aborted, a)
		last = a.Last
	}
	return nil
}
