package window

import (
	"math/rand/v2"
	"testing"

	"github.com/hapaxmq/hapax"
)

// slab is memory from the Go heap, of a fixed size at most.
type slab struct {
	lines []Line
	sides []Side
	sided bool
}

func (h *slab) Grow(n int) ([]Line, []Side, error) {
	lines := make([]Line, n)
	copy(lines, h.lines)
	h.lines = lines
	if h.sided {
		sides := make([]Side, n)
		copy(sides, h.sides)
		h.sides = sides
	}
	return h.lines, h.sides, nil
}

func newTable(t testing.TB, capacity int, sides bool) *Table {
	t.Helper()
	table, err := NewTable(&slab{sided: sides}, capacity)
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
		if err := table.BeginGrowth(); err != nil {
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
	if _, was, err := table.Admit(KeyOf(base), 1, &live); was != 0 || err != nil {
		t.Fatal(was, err)
	}
	for bit := range 128 {
		f := base
		f[bit/8] ^= 1 << (bit % 8)
		if _, was := table.Find(KeyOf(f)); was != 0 {
			t.Fatalf("bit %d does not decide", bit)
		}
		if _, was, err := table.Admit(KeyOf(f), 1, &live); was != 0 || err != nil {
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
		r := rand.New(rand.NewPCG(5, 6))
		table := newTable(t, 0, sides)
		type entry struct {
			number uint8
			side   uint64
		}
		model := map[hapax.Fingerprint]entry{}
		var live Live
		number := uint8(1)
		live[1] = true
		var known []hapax.Fingerprint
		for op := range 400_000 {
			f := randomFingerprint(r)
			if len(known) > 0 && r.IntN(3) == 0 {
				f = known[r.IntN(len(known))]
			}
			k := KeyOf(f)
			want, ok := model[f]
			switch r.IntN(20) {
			case 0:
				p, got := table.Find(k)
				if ok != live[got] || ok && (got != want.number || sides && table.Side(k, p) != want.side) {
					t.Fatalf("op %d: find: got %d, want %v", op, got, want)
				}
				if ok {
					table.Mark(k, p, 0)
					delete(model, f)
				}
			default:
				p, was, err := table.Admit(k, number, &live)
				if err != nil {
					t.Fatal(err)
				}
				if ok != (was != 0) || ok && was != want.number {
					t.Fatalf("op %d: admit: got %d, want %v", op, was, want)
				}
				if !ok {
					side := r.Uint64()
					table.SetSide(k, p, side)
					model[f] = entry{number, side}
					known = append(known, f)
				}
			}
			sweepSome(t, table, 10, len(model), &live)
			if op%5000 == 4999 { // a new generation; some old ones end
				for number = 1; live[number] || !table.reusable(number); number++ {
				}
				live[number] = true
				for n := 1; n < 256; n++ {
					if live[n] && uint8(n) != number && r.IntN(12) == 0 {
						live[n] = false
						for f, e := range model {
							if e.number == uint8(n) {
								delete(model, f)
							}
						}
						if _, ok := table.Sweeping(); !ok {
							table.BeginScrub()
						}
						for table.Step(&live) > 0 {
						}
					}
				}
			}
		}
		for f, e := range model {
			if _, got := table.Find(KeyOf(f)); got != e.number {
				t.Fatalf("%v: got %d, want %d", f, got, e.number)
			}
		}
	}
}

// reusable scrubs the table until no entry has the number.
func (t *Table) reusable(number uint8) bool {
	for _, l := range t.lines {
		for slot := range slots {
			if uint8(l[2*slot+1]) == number {
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
		if _, was, err := table.Admit(KeyOf(randomFingerprint(r)), 1, &live); was != 0 || err != nil {
			t.Fatal(was, err)
		}
		if n%28 == 0 {
			sweepSome(t, table, 256, n, &live)
		}
		if n >= 1_000_000 {
			worst = min(worst, float64(n)/float64(slots*table.next.lines()))
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
