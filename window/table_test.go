package window

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hapaxmq/hapax"
)

// slab is memory from the Go heap.
type slab struct{ lines []Line }

func (h *slab) Grow(n int) ([]Line, error) {
	lines := make([]Line, n)
	copy(lines, h.lines)
	h.lines = lines
	return h.lines, nil
}

func newTable(t testing.TB, capacity int, beside bool) *Table {
	t.Helper()
	table, err := NewTable(new(slab), beside, capacity, MaxLines)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func randomFingerprint(r *rand.Rand) (f hapax.Fingerprint) {
	for i := range f {
		f[i] = byte(r.Uint32())
	}
	return f
}

// sweepSome sweeps about n lines, and begins a growth when the table is full.
func sweepSome(t testing.TB, table *Table, n, keys int, live *Live) {
	t.Helper()
	if _, ok := table.Sweeping(); !ok && keys > table.Capacity() {
		if err := table.BeginGrowth(table.Layout().Grown(math.MaxInt)); err != nil {
			t.Fatal(err)
		}
	}
	for n > 0 {
		swept := table.Step(live)
		if swept == 0 {
			return
		}
		n -= swept
	}
}

// admit admits a fingerprint in generation 1.
func admit(t *Table, f hapax.Fingerprint, live *Live) (Place, uint8, error) {
	k := KeyOf(f)
	return t.AdmitAt(k, t.Spot(k), 1, live)
}

// A table loses no key and nothing beside one as it grows, from the least to one of
// many blocks.
func TestGrowthLosesNothing(t *testing.T) {
	const keys = 1000
	live := Live{1: true}
	table := newTable(t, 0, true)
	r := rand.New(rand.NewPCG(3, 4))
	all := make([]hapax.Fingerprint, keys)
	for i := range all {
		all[i] = randomFingerprint(r)
		p, _, err := admit(table, all[i], &live)
		if err != nil {
			t.Fatal(err)
		}
		table.SetSide(KeyOf(all[i]), p, uint64(i))
	}
	for table.Layout().Blocks < 100 {
		before := table.Layout()
		if err := table.BeginGrowth(table.Layout().Grown(math.MaxInt)); err != nil {
			t.Fatal(err)
		}
		for more := true; more; {
			more = table.Step(&live) > 0
			for i, f := range all {
				p, was := table.Find(KeyOf(f))
				if was != 1 || table.Side(KeyOf(f), p) != uint64(i) {
					t.Fatalf("from %v on: %v is lost", before, f)
				}
			}
		}
		if l := table.Layout(); l.Lines() <= before.Lines() || l.Check() != nil {
			t.Fatalf("%v has grown to %v", before, l)
		}
	}
}

// A block of a directory has half as many slots as any other at least. It keeps them, or
// gives some to one new block.
func TestDirectoryGrows(t *testing.T) {
	for _, d := range []*directory{newDirectory(1), newDirectory(7)} {
		for d.count < 3000 {
			next, donors := d.grown(d.count + 1 + d.count/16)
			times, has, gave := len(next.blocks)/len(d.blocks), make([]int, next.count), make(map[uint16]uint16)
			for s, b := range next.blocks {
				has[b]++
				was := d.blocks[s/times]
				if b == was {
					continue
				}
				if other, ok := gave[was]; uint32(b) < d.count || ok && other != b || !slices.Contains(donors, uint32(was)) {
					t.Fatalf("%d to %d blocks: slot %d goes from block %d to %d", d.count, next.count, s, was, b)
				}
				gave[was] = b
			}
			if least, most := slices.Min(has), slices.Max(has); most > 2*least+2 || least < manySlots/2-1 || len(gave) != len(donors) {
				t.Fatalf("%d to %d blocks: of %d to %d slots, %d give some", d.count, next.count, least, most, len(gave))
			}
			again, err := readDirectory(next.count, next.append(nil))
			if err != nil || !slices.Equal(again.blocks, next.blocks) || again.shift != next.shift {
				t.Fatalf("%d blocks, read again: %v", next.count, err)
			}
			d = next
		}
	}
}

// What a directory's bytes may not be is an error.
func TestWrongDirectory(t *testing.T) {
	good := newDirectory(3).append(nil)
	for what, b := range map[string][]byte{
		"none": nil, "short": good[2:], "long": append(good[:len(good):len(good)], 0, 0), "a block too many": append(good[2:len(good):len(good)], 3, 0),
	} {
		if _, err := readDirectory(3, b); err == nil {
			t.Errorf("%s: read", what)
		}
	}
}

// A table grows up to its limit, and knows before how far.
func TestGrowthEndsAtLimit(t *testing.T) {
	for _, limit := range []int{512, 1000, 5000, 16384, 20000, 100_000, 1_000_000} {
		table := newTable(t, 0, false)
		want := table.Layout().Largest(limit)
		for table.Layout().Grown(limit).Lines() <= limit {
			if err := table.BeginGrowth(table.Layout().Grown(limit)); err != nil {
				t.Fatal(err)
			}
			for table.Step(new(Live)) > 0 {
			}
		}
		if got := table.Lines(); got != want || limit >= 16384 && got+16384 <= limit {
			t.Errorf("limit %d: %d lines, and was to have %d", limit, got, want)
		}
	}
}

// Who walks over a shard sees each key once, whatever comes meanwhile.
func TestWalkSeesEachOnce(t *testing.T) {
	const keys = 450_000
	live := Live{1: true, 2: true}
	table := newTable(t, keys, false)
	r := rand.New(rand.NewPCG(5, 6))
	there := make(map[Key]int)
	add := func(number uint8) {
		f := randomFingerprint(r)
		f[0] %= 2 // much of two shards
		k := KeyOf(f)
		if _, _, err := table.AdmitAt(k, table.Spot(k), number, &live); err != nil {
			t.Fatal(err)
		}
		if number == 1 && k.shard == 1 {
			there[k] = 0
		}
	}
	for range keys / shards * 2 {
		add(1)
	}
	for block, more := uint32(0), true; more; block++ {
		more = table.Block(1, block, func(k Key, number uint8, _ uint64) {
			if number == 1 {
				there[k]++
			}
		})
		for range 20 {
			add(2)
		}
	}
	for k, times := range there {
		if times != 1 {
			t.Fatalf("%v was seen %d times", k, times)
		}
	}
}

func TestKeyKeepsAllBits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		f := randomFingerprint(r)
		if got := KeyOf(f).Fingerprint(); got != f {
			t.Fatalf("fingerprint %v became %v", f, got)
		}
	}
}

// Keys that differ in one bit of any byte are different keys.
func TestTableAllBitsDecide(t *testing.T) {
	live := Live{1: true}
	table := newTable(t, 1000, false)
	base := randomFingerprint(rand.New(rand.NewPCG(3, 4)))
	if _, was, err := admit(table, base, &live); was != 0 || err != nil {
		t.Fatal(was, err)
	}
	for bit := range 128 {
		f := base
		f[bit/8] ^= 1 << (bit % 8)
		if _, was := table.Find(KeyOf(f)); was != 0 {
			t.Fatalf("bit %d does not decide", bit)
		}
		if _, was, err := admit(table, f, &live); was != 0 || err != nil {
			t.Fatalf("bit %d: %d %v", bit, was, err)
		}
	}
	if _, was := table.Find(KeyOf(base)); was != 1 {
		t.Fatal("base is gone")
	}
}

// The table agrees with a map through growth, expiry, scrubbing, removal and
// the reuse of generation numbers.
func TestTableAgreesWithMap(t *testing.T) {
	for _, sides := range []bool{false, true} {
		m := &tableAndMap{
			r: rand.New(rand.NewPCG(5, 6)), sides: sides, table: newTable(t, 0, sides),
			model: map[hapax.Fingerprint]entry{}, live: Live{1: true}, number: 1,
		}
		for op := range 200_000 {
			m.step(t, op)
			sweepSome(t, m.table, 10, len(m.model), &m.live)
			if op%5000 == 4999 {
				m.nextGeneration()
			}
		}
		for f, e := range m.model {
			if _, got := m.table.Find(KeyOf(f)); got != e.number {
				t.Fatalf("%v: got %d, want %d", f, got, e.number)
			}
		}
	}
}

type entry struct {
	number uint8
	side   uint64
}

// tableAndMap is a table, and the map it is to agree with.
type tableAndMap struct {
	r      *rand.Rand
	sides  bool
	table  *Table
	model  map[hapax.Fingerprint]entry
	known  []hapax.Fingerprint
	live   Live
	number uint8 // of the current generation
}

// step finds and removes a key, or admits one: a known one every third time.
func (m *tableAndMap) step(t *testing.T, op int) {
	f := randomFingerprint(m.r)
	if len(m.known) > 0 && m.r.IntN(3) == 0 {
		f = m.known[m.r.IntN(len(m.known))]
	}
	k := KeyOf(f)
	want, ok := m.model[f]
	if m.r.IntN(20) == 0 {
		p, got := m.table.Find(k)
		if ok != m.live[got] || ok && (got != want.number || m.sides && m.table.Side(k, p) != want.side) {
			t.Fatalf("op %d: find: got %d, want %v", op, got, want)
		}
		if ok {
			m.table.Mark(k, p, 0)
			delete(m.model, f)
		}
		return
	}
	p, was, err := m.table.AdmitAt(k, m.table.Spot(k), m.number, &m.live)
	if err != nil {
		t.Fatal(err)
	}
	if ok != (was != 0) || ok && was != want.number {
		t.Fatalf("op %d: admit: got %d, want %v", op, was, want)
	}
	if !ok {
		side := m.r.Uint64()
		m.table.SetSide(k, p, side)
		m.model[f] = entry{m.number, side}
		m.known = append(m.known, f)
	}
}

// nextGeneration begins one, and some old ones end.
func (m *tableAndMap) nextGeneration() {
	for m.number = 1; m.live[m.number] || !m.table.reusable(m.number); m.number++ {
	}
	m.live[m.number] = true
	for n := 1; n < 256; n++ {
		if !m.live[n] || uint8(n) == m.number || m.r.IntN(12) != 0 {
			continue
		}
		m.live[n] = false
		for f, e := range m.model {
			if e.number == uint8(n) {
				delete(m.model, f)
			}
		}
		if _, ok := m.table.Sweeping(); !ok {
			m.table.BeginScrub()
		}
		for m.table.Step(&m.live) > 0 {
		}
	}
}

// reusable scrubs the table until no entry has the number.
func (t *Table) reusable(number uint8) bool {
	for line := range uint32(t.Lines()) {
		for slot := range uint8(inLine) {
			if _, kept := t.key(0, Place{line / 2, slot + 4*uint8(line%2)}); kept == number {
				return false
			}
		}
	}
	return true
}

// Every line at four fifths or more once the table has some size, and no key
// refused or spilled.
func TestTableLoad(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	live := Live{1: true}
	table := newTable(t, 0, false)
	worst := 1.0
	for n := 1; n <= 1_500_000; n++ {
		if _, was, err := admit(table, randomFingerprint(r), &live); was != 0 || err != nil {
			t.Fatal(was, err)
		}
		if n%28 == 0 {
			sweepSome(t, table, 256, n, &live)
		}
		if n >= 1_000_000 {
			worst = min(worst, float64(n)/float64(inLine*table.next.Lines()))
		}
	}
	spills := 0
	for s := range table.spill {
		spills += len(table.spill[s])
	}
	t.Logf("worst load %.3f, spilled %d", worst, spills)
	if worst < 0.8 {
		t.Errorf("load fell to %.3f", worst)
	}
	if spills > 8 {
		t.Errorf("%d keys found no place", spills)
	}
}
