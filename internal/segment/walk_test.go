package segment

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// A walk goes over the frames from any one on, in the file and in memory, until it
// has seen enough.
func TestWalk(t *testing.T) {
	disk := vfs.NewMem()
	w, err := Create(disk, "f", Header{Kind: 7, Sequence: 1}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var offsets []int64
	add := func(n int) {
		for range n {
			at, err := w.Append(1, fmt.Append(nil, len(offsets)))
			if err != nil {
				t.Fatal(err)
			}
			offsets = append(offsets, at)
		}
	}
	add(5)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	flushed := w.Flushed()
	add(4)
	for first := range offsets {
		next := first
		visit := func(f Frame) error {
			if f.Offset != offsets[next] || string(f.Payload) != fmt.Sprint(next) {
				t.Fatalf("frame %q at %d, want %d at %d", f.Payload, f.Offset, next, offsets[next])
			}
			if next++; next == 8 {
				return ErrStop
			}
			return nil
		}
		if err := Walk(disk, "f", ScanOptions{Kind: 7, End: flushed}, offsets[first], visit); err != nil {
			t.Fatal(err)
		}
		if err := w.WalkUnflushed(max(flushed, offsets[first]), visit); err != nil || next != 8 && first < 8 {
			t.Fatalf("from %d: came to %d, %v", first, next, err)
		}
	}
	broken := errors.New("broken")
	fail := func(Frame) error { return broken }
	if err := Walk(disk, "f", ScanOptions{End: flushed}, offsets[0], fail); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := w.WalkUnflushed(0, fail); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := Walk(disk, "f", ScanOptions{End: flushed}, offsets[0]+8, fail); !errors.Is(err, hapax.ErrCorrupt) {
		t.Errorf("from within a frame: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.WalkUnflushed(0, fail); err != nil {
		t.Errorf("all is flushed, and yet: %v", err)
	}
}
