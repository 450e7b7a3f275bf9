package cold

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/window"
)

const testDir = "cold"

func newDisk(t testing.TB) *vfs.Mem {
	t.Helper()
	m := vfs.NewMem()
	must(t, m.MkdirAll(testDir))
	return m
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// randomEntries are n entries of three generations, in no order.
func randomEntries(seed uint64, n int, digests bool) []Entry {
	r := rand.New(rand.NewPCG(seed, 1))
	all := make([]Entry, n)
	for i := range all {
		all[i] = Entry{
			Key:        window.MakeKey(uint8(r.Uint32()), r.Uint64(), r.Uint64()&^0xff),
			Generation: uint8(r.IntN(3)),
		}
		if digests {
			all[i].Digest = hapax.Digest(r.Uint64())
		}
	}
	return all
}

// generations are those of randomEntries: IDs from on.
func generations(from uint64) []Generation {
	return []Generation{{ID: from, Start: -5, End: 10, Bytes: 7, Log: 77, At: 1 << 40}, {ID: from + 1, Start: 10, End: 20}, {ID: from + 2, Start: 20, End: 30}}
}

// write makes a file of entries and opens it again.
func write(t testing.TB, fsys vfs.FS, p Plan, entries []Entry) *File {
	t.Helper()
	p.Keys = int64(len(entries))
	w, err := NewWriter(fsys, testDir, p)
	must(t, err)
	var shards [256][]Entry
	for _, e := range entries {
		shards[e.Key.Shard()] = append(shards[e.Key.Shard()], e)
	}
	for _, shard := range &shards {
		must(t, w.Shard(shard))
	}
	f, err := w.Finish()
	must(t, err)
	must(t, f.Close())
	return reopen(t, fsys, p.Number)
}

func reopen(t testing.TB, fsys vfs.FS, number uint64) *File {
	t.Helper()
	f, err := Open(fsys, Path(testDir, number))
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// answers tests that the file has these entries and none of others.
func answers(t *testing.T, f *File, entries []Entry) {
	t.Helper()
	step := max(len(entries)/2000, 1)
	for i := 0; i < len(entries); i += step {
		want := entries[i]
		if got, ok, err := f.Find(want.Key); err != nil || !ok || got != want {
			t.Fatalf("entry %d: got %+v %v %v, want %+v", i, got, ok, err, want)
		}
		home, rest := want.Key.Words()
		for bit := range 120 { // its neighbours
			h, r := home, rest
			if bit < 64 {
				h ^= 1 << bit
			} else {
				r ^= 1 << (bit - 56)
			}
			if bit%16 != i%16 {
				continue
			}
			if _, ok, err := f.Find(window.MakeKey(want.Key.Shard(), h, r)); ok || err != nil {
				t.Fatalf("neighbour of entry %d by bit %d: %v %v", i, bit, ok, err)
			}
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, digests := range []bool{false, true} {
		for _, n := range []int{0, 1, 2, 255, 256, 100_000} {
			t.Run(fmt.Sprintf("%d keys, digests %v", n, digests), func(t *testing.T) {
				roundTrip(t, n, digests)
			})
		}
	}
}

func roundTrip(t *testing.T, n int, digests bool) {
	disk := newDisk(t)
	entries := randomEntries(uint64(n), n, digests)
	p := Plan{Number: 9, Generations: generations(3), Replaces: []uint64{4, 5}, Watermark: -3, Digests: digests}
	f := write(t, disk, p, entries)
	must(t, f.Check())
	if f.Number != 9 || f.Watermark != -3 || f.Keys != int64(n) || len(f.Replaces) != 2 || f.Oldest() != 3 {
		t.Fatalf("%+v", f)
	}
	sum := int64(0)
	for i, g := range f.Generations {
		want := generations(3)[i]
		want.Count = g.Count
		if sum += g.Count; g != want {
			t.Errorf("generation %+v, want %+v", g, want)
		}
	}
	if sum != int64(n) {
		t.Errorf("generations count %d keys", sum)
	}
	answers(t, f, entries)
	must(t, f.Load())
	answers(t, f, entries)
	absent := 0
	for _, e := range randomEntries(99, 20_000, false) {
		_, ok, err := f.Find(e.Key)
		must(t, err)
		if ok {
			absent++
		}
	}
	if absent > 0 {
		t.Errorf("%d absent keys found", absent)
	}
	f.Unload(f.Parts())
	answers(t, f, entries)
	inOrder(t, f, entries)
}

// inOrder tests that All yields each entry once, in order.
func inOrder(t *testing.T, f *File, entries []Entry) {
	t.Helper()
	want := make(map[Entry]bool, len(entries))
	for _, e := range entries {
		want[e] = true
	}
	var last []byte
	for e, err := range f.All() {
		must(t, err)
		fp := e.Key.Fingerprint()
		if !want[e] || bytes.Compare(last, fp[:]) >= 0 {
			t.Errorf("entry %+v, unknown or not behind %x", e, last)
		}
		delete(want, e)
		last = fp[:]
	}
	if len(want) > 0 {
		t.Errorf("%d entries left out", len(want))
	}
}

// Keys that share their first nine bytes fill several pages, and are told apart
// by the rest.
func TestKeysOfOneWord(t *testing.T) {
	disk := newDisk(t)
	var entries []Entry
	for i := range 1000 {
		entries = append(entries, Entry{Key: window.MakeKey(5, 1<<40, uint64(2*i+2)<<8)})
	}
	f := write(t, disk, Plan{Number: 1, Generations: generations(1)}, entries)
	must(t, f.Load())
	must(t, f.Check())
	for _, e := range entries {
		if got, ok, err := f.Find(e.Key); err != nil || !ok || got != e {
			t.Fatal(got, ok, err)
		}
		home, rest := e.Key.Words()
		if _, ok, err := f.Find(window.MakeKey(5, home, rest+1<<8)); ok || err != nil {
			t.Fatal(ok, err)
		}
	}
}

func TestMerge(t *testing.T) {
	disk := newDisk(t)
	old := randomEntries(1, 3000, true)
	young := randomEntries(2, 3000, true)
	for i := range 500 { // came again later, with another payload
		young[i].Key = old[i].Key
	}
	a := write(t, disk, Plan{Number: 1, Generations: generations(1), Digests: true}, old)
	b := write(t, disk, Plan{Number: 2, Generations: generations(4), Digests: true}, young)
	// The generation with ID 1 has ended; the others are listed in reverse.
	ended := uint64(1)
	var left []Generation
	for id := uint64(6); id > ended; id-- {
		left = append(left, Generation{ID: id})
	}
	forgotten := old[1000].Key
	w, err := NewWriter(disk, testDir, Plan{Number: 3, Keys: 6000, Generations: left, Replaces: []uint64{1, 2}, Digests: true})
	must(t, err)
	must(t, Merge(w, a, b, func(f *File, e Entry) (uint8, bool) {
		id := f.Generations[e.Generation].ID
		return uint8(6 - id), id > ended && e.Key != forgotten
	}))
	f, err := w.Finish()
	must(t, err)
	must(t, f.Load())
	must(t, f.Check())

	want := make(map[window.Key]Entry)
	for _, e := range old {
		if id := uint64(e.Generation) + 1; id > ended && e.Key != forgotten {
			e.Generation = uint8(6 - id)
			want[e.Key] = e
		}
	}
	for _, e := range young {
		e.Generation = uint8(6 - (uint64(e.Generation) + 4))
		want[e.Key] = e
	}
	if f.Keys != int64(len(want)) {
		t.Errorf("%d keys, want %d", f.Keys, len(want))
	}
	for _, e := range append(old, young...) {
		want, is := want[e.Key]
		if got, ok, err := f.Find(e.Key); err != nil || ok != is || ok && got != want {
			t.Fatalf("got %+v %v %v, want %+v %v", got, ok, err, want, is)
		}
	}
	must(t, f.Close())
}

// An aborted writer leaves nothing, and one that a crash cut off is no obstacle.
func TestAbort(t *testing.T) {
	disk := newDisk(t)
	for range 2 {
		w, err := NewWriter(disk, testDir, Plan{Number: 1, Generations: generations(1)})
		must(t, err)
		must(t, w.Shard(randomEntries(1, 1, false)))
	}
	w, err := NewWriter(disk, testDir, Plan{Number: 1, Generations: generations(1)})
	must(t, err)
	must(t, w.Abort())
	if names, err := disk.List(testDir); err != nil || len(names) > 0 {
		t.Errorf("left: %v %v", names, err)
	}
}

// TestCost: what a key costs in memory and on disk, and that the estimate is no
// less and not much more.
func TestCost(t *testing.T) {
	for _, n := range []int{50_000, 500_000, 600_000, 1_100_000} {
		f := write(t, newDisk(t), Plan{Number: 1, Generations: generations(1)[:1]}, oneGeneration(randomEntries(1, n, false)))
		must(t, f.Load())
		memory, disk := float64(f.Memory())/float64(n), float64(f.Size())/float64(n)
		said := float64(Cost(int64(n))) / float64(n)
		t.Logf("%d keys: %.3f bytes of memory a key, %.3f said, %.3f of disk", n, memory, said, disk)
		if n >= 500_000 && memory > 2.42 {
			t.Errorf("%.2f bytes of memory a key", memory)
		}
		if said < memory || said > memory*1.1 {
			t.Errorf("%.3f bytes of memory said, %.3f taken", said, memory)
		}
		if n >= 500_000 && disk > 16.5 {
			t.Errorf("%.2f bytes of disk a key", disk)
		}
	}
}

func oneGeneration(entries []Entry) []Entry {
	for i := range entries {
		entries[i].Generation = 0
	}
	return entries
}

// Every byte of a file changed: it is an error to open, load or check it, and no
// answer is ever wrong.
func TestDamage(t *testing.T) {
	disk := newDisk(t)
	entries := randomEntries(1, 20, true)
	for i := range entries { // of two ranges, so that the file is small
		home, rest := entries[i].Key.Words()
		entries[i].Key = window.MakeKey(uint8(i%2), home, rest)
	}
	present, absent := entries[:10], entries[10:]
	f := write(t, disk, Plan{Number: 1, Generations: generations(1), Digests: true}, present)
	size := f.Size()
	must(t, f.Close())
	path := filepath.Join(testDir, filepath.Base(f.Path()))
	at := func(i int64, mask byte) {
		file, err := disk.OpenRW(path)
		must(t, err)
		var b [1]byte
		_, err = file.ReadAt(b[:], i)
		must(t, err)
		_, err = file.WriteAt([]byte{b[0] ^ mask}, i)
		must(t, errors.Join(err, file.Close()))
	}
	for i := range size {
		mask := byte(1) << (i % 8)
		if i%2 == 0 {
			mask = 0xff
		}
		at(i, mask)
		if err := sound(disk, path, present, absent); !errors.Is(err, hapax.ErrCorrupt) && !newer(err) {
			t.Fatalf("byte %d of %d: %v", i, size, err)
		}
		at(i, mask)
	}
	must(t, sound(disk, path, present, absent))
}

func newer(err error) bool {
	return err != nil && bytes.Contains([]byte(err.Error()), []byte("newer version"))
}

// sound opens a file, asks it everything and checks it. A wrong answer is an
// error that is no ErrCorrupt.
func sound(fsys vfs.FS, path string, present, absent []Entry) error {
	f, err := Open(fsys, path)
	if err != nil {
		return err
	}
	defer f.Close()
	for range 2 {
		for _, want := range present {
			got, ok, err := f.Find(want.Key)
			if err == nil && (!ok || got != want) {
				return fmt.Errorf("wrong answer: %+v %v, want %+v", got, ok, want)
			}
		}
		for _, e := range absent {
			if _, ok, _ := f.Find(e.Key); ok {
				return errors.New("wrong answer: an absent key is found")
			}
		}
		_ = f.Load() // Check says it again
	}
	return f.Check()
}
