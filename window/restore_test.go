package window

import (
	"math/rand/v2"
	"testing"
)

// A restored table has each block once: fetched when it is first looked at, or
// installed. What was read of a block that is there by then is left alone.
func TestRestoredTable(t *testing.T) {
	const n, first, second = 5000, 1, 2
	live := Live{first: true, second: true}
	whole := newTable(t, 2*n, true) // no key finds no place
	r := rand.New(rand.NewPCG(1, 2))
	keys := make([]Key, n)
	for i := range keys {
		keys[i] = KeyOf(randomFingerprint(r))
		p, err := whole.Insert(keys[i], first, &live)
		if err != nil {
			t.Fatal(err)
		}
		whole.SetSide(keys[i], p, uint64(i))
	}
	fetched := make(map[int]int)
	table, err := RestoreTable(new(slab), true, whole.Layout(), whole.Directory(), func(block int, lines []Line) {
		fetched[block]++
		copy(lines, whole.Raw(block))
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range keys[:n/20] { // of some blocks
		p, was := table.Find(k)
		if was != first || table.Side(k, p) != uint64(i) {
			t.Fatalf("key %d: %d, beside it %d", i, was, table.Side(k, p))
		}
		table.Mark(k, p, second)
	}
	asked := len(fetched)
	if asked == 0 || asked == whole.Layout().CountBlocks() {
		t.Fatalf("%d blocks were asked for", asked)
	}
	for block := range fetched { // as if they had been read beside the table before
		table.Install(block, whole.Raw(block))
	}
	for block, more := table.NextAbsent(); more; block, more = table.NextAbsent() {
		if fetched[block] > 0 || !table.Lacks(block) {
			t.Fatalf("block %d is there", block)
		}
		table.Install(block, whole.Raw(block))
		if table.Lacks(block) {
			t.Fatalf("block %d is not there", block)
		}
	}
	for i, k := range keys {
		p, was := table.Find(k)
		want := uint8(first)
		if i < n/20 {
			want = second
		}
		if was != want || table.Side(k, p) != uint64(i) {
			t.Fatalf("key %d in the end: %d, beside it %d", i, was, table.Side(k, p))
		}
	}
	for block, times := range fetched {
		if times != 1 {
			t.Errorf("block %d was fetched %d times", block, times)
		}
	}
	if len(fetched) != asked {
		t.Errorf("%d blocks were fetched that were installed", len(fetched)-asked)
	}
}
