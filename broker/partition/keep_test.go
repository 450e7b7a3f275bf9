package partition

import (
	"encoding/binary"
	"testing"

	"github.com/hapaxmq/hapax/broker/batch"
)

// batches are some of one record each, with the offsets given.
func batches(offsets ...int64) (b []byte) {
	for _, offset := range offsets {
		b = batch.AppendEmpty(b, batch.Header{BaseOffset: offset, MaxTimestamp: 7, ProducerID: batch.None})
	}
	return b
}

func keptFrame(from, offsets uint64, b []byte) []byte {
	frame := binary.AppendUvarint(binary.AppendUvarint(nil, from), offsets)
	return append(appendTimes(frame, 1, []int64{5, 7}), b...)
}

// What a frame says is kept takes the place of what was there, and what cannot be is
// refused.
func TestReplayOfKept(t *testing.T) {
	for _, test := range []struct {
		name  string
		frame []byte
		bad   bool
	}{
		{"some of them", keptFrame(0, 5, batches(0, 3)), false},
		{"none of them", keptFrame(0, 5, nil), false},
		{"all that there is", keptFrame(0, 10, batches(9)), false},
		{"more than there is", keptFrame(0, 11, batches(10)), true},
		{"outside the range", keptFrame(2, 3, batches(1)), true},
		{"behind the range", keptFrame(2, 3, batches(5)), true},
		{"out of order", keptFrame(0, 5, batches(3, 0)), true},
		{"cut off", keptFrame(0, 5, batches(0))[:40], true},
		{"no range", []byte{0x80}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := New(1, new(Log), Settings{ProducerExpiry: 1})
			for offset := range int64(10) {
				p.index.append(Extent{Base: offset, Last: offset, File: 3, At: 100 * offset, Length: 90})
				p.end++
			}
			err := Replay{p}.Keep(test.frame, 4, 1000)
			if (err != nil) != test.bad {
				t.Errorf("error %v", err)
			}
			if err != nil && p.index.count != 10 {
				t.Errorf("%d extents, and it was refused", p.index.count)
			}
		})
	}
}

// Groups are adjacent and small, in files that are ended, and enough.
func TestSmall(t *testing.T) {
	p := New(1, new(Log), Settings{ProducerExpiry: 1})
	add := func(count int, file uint64, length int32, time int64) {
		for range count {
			p.index.append(Extent{Base: p.end, Last: p.end, File: file, At: p.end << 20, Length: length, MaxTime: time})
			p.end++
		}
		p.high = p.end
	}
	add(10, 1, 100, 0)        // too few
	add(1, 1, smallExtent, 0) // large
	add(40, 1, 100, 0)        // 11: many
	add(40, 2, 100, 0)        // 51: adjacent to them
	add(40, 2, 100, 5000)     // 91: later
	add(1, 2, smallExtent, 0) // 131: large
	add(9, 2, 8000, 0)        // 132: few, but of some size
	add(1, 2, smallExtent, 0) // 141: large
	add(100, 2, 8000, 0)      // 142: more than fits
	add(1, 2, smallExtent, 0) // large
	add(100, 3, 100, 0)       // in a file that is not ended
	var got [][2]int64
	for offset := int64(0); offset >= 0; {
		extents, next := Old{p}.Small(offset, 3, 1000)
		if len(extents) > 0 {
			got = append(got, [2]int64{extents[0].Base, extents[len(extents)-1].Last})
		}
		offset = next
	}
	want := [][2]int64{{11, 90}, {91, 130}, {132, 140}, {142, 173}, {174, 205}, {206, 237}}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}

// The last batch is moved alone, and is not regrouped.
func TestLastBatchMovesAlone(t *testing.T) {
	p := New(1, new(Log), Settings{ProducerExpiry: 1})
	for offset := range int64(40) {
		p.index.append(Extent{Base: offset, Last: offset, File: 1, At: 100 * offset, Length: 100})
		p.end++
		p.high = p.end
	}
	old := Old{p}
	for _, want := range [][2]int64{{0, 38}, {39, 39}} {
		extents := old.In(1, want[0], 1<<62)
		if len(extents) == 0 || extents[0].Base != want[0] || extents[len(extents)-1].Last != want[1] {
			t.Fatalf("%v, want those from %d to %d", extents, want[0], want[1])
		}
	}
	if extents, next := old.Small(0, 2, 1000); len(extents) != 39 || next != 39 {
		t.Errorf("%d extents are regrouped, and %d is next", len(extents), next)
	}
}

// What is moved together is of one time, and not more each time that it is moved: who
// knows the newest of its records knows about the oldest.
func TestMovedTogetherIsOfOneTime(t *testing.T) {
	const span = 1000
	p := New(1, new(Log), Settings{ProducerExpiry: 1})
	old, oldest := Old{p}, map[int64]int64{} // by the last offset of each extent
	now := int64(0)
	for file := uint64(1); file <= 20; file++ {
		// A file is emptied into the next, to which somebody writes a little meanwhile.
		for offset := int64(0); file > 1; {
			extents := old.In(file-1, offset, span)
			if len(extents) == 0 {
				break
			}
			run := Extent{Base: extents[0].Base, File: file, At: p.end << 20, Run: len(extents) > 1 || extents[0].Run}
			first := int64(1 << 62)
			for _, e := range extents {
				run.Last, run.Length, run.MaxTime = e.Last, run.Length+e.Length, max(run.MaxTime, e.MaxTime)
				first = min(first, oldest[e.Last])
			}
			oldest[run.Last] = first
			if run.MaxTime-first > span {
				t.Fatalf("records from %d to %d ms are moved together", first, run.MaxTime)
			}
			old.keep(run.Base, run.Last+1, run)
			offset = run.Last + 1
		}
		for range 3 {
			if now += 300; file%4 == 0 {
				now += span
			}
			p.index.append(Extent{Base: p.end, Last: p.end, File: file, At: p.end << 20, Length: 100, MaxTime: now})
			oldest[p.end] = now
			p.end++
		}
		p.high = p.end
	}
	if n := old.Len(); n > 50 {
		t.Errorf("%d extents are left of 60", n)
	}
}

// No bytes make a panic, nor an index that goes back.
func FuzzReplayKeep(f *testing.F) {
	f.Add(keptFrame(0, 5, batches(0, 3)), keptFrame(1, 4, nil), []byte{3})
	f.Fuzz(func(t *testing.T, kept, extents, cleaned []byte) {
		p := New(1, new(Log), Settings{ProducerExpiry: 1})
		p.end = 10
		if err := (Replay{p}).RestoreExtents(extents); err != nil {
			return // opening ends here
		}
		_ = Replay{p}.Keep(kept, 4, 1000) // what it took over is looked at
		_ = Replay{p}.Cleaned(cleaned)    // so is this
		last := int64(-1)
		p.index.from(0, func(e Extent) bool {
			if e.Last <= last || e.Last >= p.end || e.Length <= 0 || e.At < 0 {
				t.Fatalf("%+v behind %d", e, last)
			}
			last = e.Last
			return true
		})
		if p.clean > p.end {
			t.Fatalf("clean up to %d of %d", p.clean, p.end)
		}
	})
}
