package window

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax"
)

// origin is where the tests' time begins, in Unix nanoseconds: the beginning of
// a slice of all their windows.
const origin = int64(1_700_000_000) * 128 * 1000

// at returns the generation for a message, and fails the test if there is none.
func at(t testing.TB, g *Generations, time, size int64) *Generation {
	t.Helper()
	gen, err := g.At(time, size)
	if err != nil {
		t.Fatal(err)
	}
	return gen
}

func isLive(g *Generations, gen *Generation) bool { return g.ByID(gen.ID) == gen }

// An identity is remembered for its window, on both sides of every edge, and at
// most 1/128 longer.
func TestTimeEdges(t *testing.T) {
	const width = 1000 // of a slice
	const window = 128 * width
	for _, after := range []int64{0, 1, width - 1, width, width + 1, 5*width + 7} {
		g := NewGenerations(hapax.Window{Time: time.Duration(window)}, 0)
		seen := origin + after
		g.Advance(seen)
		gen := at(t, g, 0, 0)
		g.Add(gen, 1, 0)
		if gen.Start > seen || gen.End <= seen || gen.End-gen.Start != width {
			t.Fatalf("seen at %d in slice %d to %d", after, gen.Start-origin, gen.End-origin)
		}
		end, ok := g.Expires(gen)
		if !ok || end < seen+window || end > seen+window+width {
			t.Fatalf("seen at %d, expires at %d", after, end-origin)
		}
		for _, now := range []int64{seen, seen + 1, seen + window - 1, seen + window, end - 1} {
			if gone := g.Advance(now); len(gone) > 0 || !isLive(g, gen) {
				t.Fatalf("seen at %d, gone at %d", after, now-origin)
			}
		}
		if gone := g.Advance(end); !slices.Equal(gone, []*Generation{gen}) || isLive(g, gen) {
			t.Fatalf("seen at %d, not gone at %d", after, end-origin)
		}
	}
}

// Time that steps back changes nothing.
func TestWatermarkOnlyRises(t *testing.T) {
	g := NewGenerations(hapax.Window{Time: 128_000}, 0)
	g.Advance(origin + 5000)
	first := at(t, g, 0, 0)
	if gone := g.Advance(origin); gone != nil || g.Watermark() != origin+5000 {
		t.Fatal(gone, g.Watermark())
	}
	if at(t, g, 0, 0) != first {
		t.Error("time went back")
	}
}

func TestSliceIsOneGeneration(t *testing.T) {
	g := NewGenerations(hapax.Window{Time: 128_000}, 0)
	var gens []*Generation
	for now := origin; now < origin+128_000; now += 500 {
		g.Advance(now)
		gens = append(gens, at(t, g, 0, 0))
	}
	for i := range gens {
		if gens[i] != gens[i/2*2] || i >= 2 && gens[i] == gens[i-2] {
			t.Fatalf("generation of half slice %d", i)
		}
	}
	if n := len(g.List()); n != 128 {
		t.Errorf("%d generations", n)
	}
	if next := g.Next(); next != origin+128_000 {
		t.Errorf("next at %d", next-origin)
	}
}

// A count window forgets none of its last identities, and at most 1/128 more
// than it holds are remembered; bytes alike.
func TestCountAndBytesEdges(t *testing.T) {
	const most = 12_800
	for name, w := range map[string]hapax.Window{"count": {Count: most}, "bytes": {Bytes: 10 * most}} {
		t.Run(name, func(t *testing.T) {
			g := NewGenerations(w, 0)
			g.Advance(origin)
			for range 4 * most {
				gen := at(t, g, 0, 10)
				if gen.Count >= most/128 {
					t.Fatalf("%d in a generation", gen.Count)
				}
				before := g.Count()
				gone := g.Add(gen, 1, 10)
				if len(gone) == 0 {
					continue
				}
				left := int64(0)
				for _, gen := range gone {
					left += gen.Count
				}
				if left != before+1-g.Count() || g.Count() < most || g.Count() > most+most/128 {
					t.Fatalf("%d left, %d stay", left, g.Count())
				}
				scrub(g)
			}
			if n := g.Count(); n < most || n > most+most/128 {
				t.Errorf("%d are live", n)
			}
		})
	}
}

// scrub does what a sweep of the whole table does.
func scrub(g *Generations) {
	g.Sweep()
	g.Swept()
}

// A message above the bytes of a generation has one of its own.
func TestBytesOfOneMessage(t *testing.T) {
	g := NewGenerations(hapax.Window{Bytes: 12_800}, 0)
	g.Advance(origin)
	small := at(t, g, 0, 60)
	g.Add(small, 1, 60)
	large := at(t, g, 0, 5000)
	if large == small || !g.Fits(large, 5000) {
		t.Fatal("it does not fit")
	}
	g.Add(large, 1, 5000)
	if at(t, g, 0, 1) == large {
		t.Error("a generation takes more than its bytes")
	}
}

func TestTumbling(t *testing.T) {
	t.Run("time", func(t *testing.T) {
		g := NewGenerations(hapax.Window{Time: 1000, Kind: hapax.Tumbling}, 0)
		g.Advance(origin + 999)
		gen := at(t, g, 0, 0)
		if gone := g.Advance(origin + 1000); !slices.Equal(gone, []*Generation{gen}) {
			t.Fatal("it did not end with its window")
		}
		if at(t, g, 0, 0) == gen {
			t.Error("it takes more")
		}
	})
	t.Run("count", func(t *testing.T) {
		g := NewGenerations(hapax.Window{Count: 10, Kind: hapax.Tumbling}, 0)
		g.Advance(origin)
		gen := at(t, g, 0, 0)
		if room := g.Room(gen); room != 10 {
			t.Errorf("room for %d", room)
		}
		for range 10 {
			if gone := g.Add(at(t, g, 0, 0), 1, 0); gone != nil {
				t.Fatal("gone too early")
			}
		}
		next := at(t, g, 0, 0)
		if gone := g.Add(next, 1, 0); next == gen || !slices.Equal(gone, []*Generation{gen}) {
			t.Fatalf("%v went", gone)
		}
	})
	t.Run("bytes", func(t *testing.T) {
		g := NewGenerations(hapax.Window{Bytes: 100, Kind: hapax.Tumbling}, 0)
		g.Advance(origin)
		gen := at(t, g, 0, 60)
		g.Add(gen, 1, 60)
		if at(t, g, 0, 40) != gen || at(t, g, 0, 41) == gen {
			t.Error("it is cut elsewhere than at 100 bytes")
		}
	})
}

// A number is given out again only after a sweep that began when its generation
// had ended; until then At says ErrNumbers and changes nothing.
func TestNumbersWaitForASweep(t *testing.T) {
	g := NewGenerations(hapax.Window{Count: 128}, 0) // one identity a generation
	g.Advance(origin)
	used := map[uint8]bool{}
	for {
		gen, err := g.At(0, 0)
		if errors.Is(err, ErrNumbers) {
			break
		}
		if err != nil || gen.Number == 0 || gen.Number == Claimed || used[gen.Number] {
			t.Fatalf("number %d, %v", gen.Number, err)
		}
		used[gen.Number] = true
		g.Add(gen, 1, 0)
	}
	if len(used) != 254 || g.Free() != 0 {
		t.Fatalf("%d numbers, %d free", len(used), g.Free())
	}
	g.Swept() // of no sweep
	newest, live := g.Newest(), len(g.List())
	if _, err := g.At(0, 0); !errors.Is(err, ErrNumbers) || g.Newest() != newest || len(g.List()) != live {
		t.Fatal("an error changed something")
	}
	g.Sweep()
	meanwhile := g.Evict() // after the sweep began
	g.Swept()
	if want := 254 - live; g.Free() != want {
		t.Errorf("%d free, want %d", g.Free(), want)
	}
	for g.Free() > 0 {
		gen := at(t, g, 0, 0)
		if gen.Number == meanwhile.Number {
			t.Fatal("a number came back before it was swept")
		}
		g.Add(gen, 1, 0)
	}
	scrub(g)
	if g.Free() == 0 {
		t.Error("no number came back")
	}
}

// A chilled generation is live without a number.
func TestChill(t *testing.T) {
	g := NewGenerations(hapax.Window{Count: 1280}, 0)
	g.Advance(origin)
	gen := at(t, g, 0, 0)
	g.Add(gen, 10, 0)
	number := gen.Number
	g.Chill(gen)
	if live := g.Live(); live[number] || !isLive(g, gen) || g.ByNumber(number) != nil || g.Count() != 10 {
		t.Error("it is not chilled")
	}
	if next := at(t, g, 0, 0); next == gen || next.Number == number {
		t.Error("it takes more")
	}
	if !g.Live()[Claimed] {
		t.Error("a claim is not live")
	}
}

func TestEventTime(t *testing.T) {
	g := NewGenerations(hapax.Window{Time: 128_000, EventTime: true}, 0)
	g.Advance(origin + 200_000)
	young := at(t, g, origin+199_500, 0)
	old := at(t, g, origin+100_500, 0)
	if old.Start != origin+100_000 || old.End != origin+101_000 {
		t.Fatalf("slice %d to %d", old.Start-origin, old.End-origin)
	}
	if !slices.Equal(g.List(), []*Generation{old, young}) || at(t, g, origin+100_001, 0) != old {
		t.Error("events of one slice are not in one generation, oldest first")
	}
	// The slice that ends 128 000 before the watermark has left, the next has not.
	for _, c := range []struct {
		time int64
		late bool
	}{{71_999, true}, {72_000, false}, {72_500, false}, {0, true}, {-1 << 40, true}} {
		_, err := g.At(origin+c.time, 0)
		if got := g.Late(origin + c.time); got != c.late || errors.Is(err, ErrLate) != c.late {
			t.Errorf("event of %d: late %v, %v", c.time, got, err)
		}
	}
	if gone := g.Advance(origin + 229_000); len(gone) != 2 {
		t.Errorf("%d generations left", len(gone)) // of 72 000, and of 100 000
	}
}

// With more slices of time and bytes than there are numbers the newest
// generation takes more, and still each identity is remembered for its window.
func TestMostLive(t *testing.T) {
	const width, window, size = 1000, 128_000, 51 // two messages a slice do not fit the bytes of one
	g := NewGenerations(hapax.Window{Time: window, Bytes: 12_800}, 0)
	var gens []*Generation
	most := 0
	for i := range int64(3 * 2 * 128) {
		now := origin + i*width/2
		g.Advance(now)
		scrub(g)
		gen := at(t, g, 0, size)
		g.Add(gen, 1, size)
		gens = append(gens, gen)
		most = max(most, len(g.List()))
		for j, gen := range gens {
			after, age := (i-int64(j))*size, (i-int64(j))*width/2
			if age < window && after < 12_800 && !isLive(g, gen) {
				t.Fatalf("message %d is gone at message %d", j, i)
			}
		}
	}
	if most >= mostLive {
		t.Errorf("%d generations were live", most)
	}
}

// Restore brings generations back by their IDs, those of cold files without a
// number.
func TestRestore(t *testing.T) {
	g := NewGenerations(hapax.Window{Time: 128_000}, 0)
	g.Advance(origin)
	young := Generation{ID: 9, Start: origin, End: origin + 1000}
	old := Generation{ID: 4, Start: origin - 1000, End: origin}
	a, err := g.Restore(young, true)
	if err != nil || a.Number == 0 {
		t.Fatal(a, err)
	}
	b, err := g.Restore(old, false)
	if err != nil || b.Number != 0 {
		t.Fatal(b, err)
	}
	if again, err := g.Restore(old, true); again != b || err != nil {
		t.Error("it is there twice")
	}
	if !slices.Equal(g.List(), []*Generation{b, a}) || g.Newest() != 9 {
		t.Error("order or newest ID is wrong")
	}
	if at(t, g, 0, 0) != a {
		t.Error("what arrives now goes elsewhere")
	}
	g.SkipTo(20)
	g.Advance(origin + 1000)
	if gen := at(t, g, 0, 0); gen.ID != 21 {
		t.Errorf("ID %d was given out", gen.ID)
	}
}

// Hold keeps what came between the end of a slice and the moment it was noticed.
func TestHold(t *testing.T) {
	g := NewGenerations(hapax.Window{Time: 128_000}, 300)
	g.Advance(origin)
	gen := at(t, g, 0, 0)
	if gen.End-gen.Start != 700 {
		t.Errorf("slice of %d", gen.End-gen.Start)
	}
	late := gen.End + 200 // an identity came, and only then time moved on
	g.Hold(late)
	if end, _ := g.Expires(gen); end < late+128_000 {
		t.Errorf("gone at %d", end-origin)
	}
}

// Without a bound of time, count or bytes nothing ever ends.
func TestUnbounded(t *testing.T) {
	g := NewGenerations(hapax.Window{Unbounded: true}, 0)
	for i := range int64(10) {
		g.Advance(origin + i<<50)
		gen := at(t, g, 0, 0)
		if gone := g.Add(gen, g.Room(gen), 1<<40); gone != nil {
			t.Fatal("one ended")
		}
		if _, ok := g.Expires(gen); ok || g.Next() != math.MaxInt64 {
			t.Fatal("one is to end")
		}
	}
	if n := len(g.List()); n != 10 {
		t.Errorf("%d generations", n)
	}
}

// Whatever comes, what lies within every bound is live, and what time let go
// 1/64 ago is not.
func TestGenerationsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := hapax.Window{Time: time.Duration(rapid.SampledFrom([]int64{0, 1, 100, 12_800}).Draw(t, "time"))}
		w.Count = rapid.SampledFrom([]int64{0, 1, 130, 1000}).Draw(t, "count")
		w.Bytes = rapid.SampledFrom([]int64{0, 1, 1000, 20_000}).Draw(t, "bytes")
		w.Unbounded = w.Time == 0 && w.Count == 0 && w.Bytes == 0
		if err := w.Validate(); err != nil {
			t.Skip(fmt.Sprint(err))
		}
		g := NewGenerations(w, 0)
		type message struct {
			at, size int64
			gen      *Generation
		}
		var all []message
		now := origin
		for range rapid.IntRange(1, 200).Draw(t, "messages") {
			now += rapid.Int64Range(0, 200).Draw(t, "step")
			size := rapid.Int64Range(0, 50).Draw(t, "size")
			g.Advance(now)
			scrub(g)
			gen, err := g.At(0, size)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, message{now, size, gen})
			g.Add(gen, 1, size)
			count, bytes := int64(0), int64(0) // that came after a message
			for i := len(all) - 1; i >= 0; i-- {
				m := all[i]
				within := (w.Time == 0 || now < m.at+int64(w.Time)) && (w.Count == 0 || count < w.Count) && (w.Bytes == 0 || bytes < w.Bytes)
				if within && !isLive(g, m.gen) {
					t.Fatalf("%v: message %d of %d is within the window and gone", w, i, len(all))
				}
				if !within {
					break
				}
				count, bytes = count+1, bytes+m.size
			}
			for _, m := range all[:len(all)/2] {
				if w.Time != 0 && now > m.at+int64(w.Time)+max(int64(w.Time)/64, 2) && isLive(g, m.gen) {
					t.Fatalf("%v: message of %d is live at %d", w, m.at-origin, now-origin)
				}
			}
		}
	})
}
