package measure

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestRoundsAlternate(t *testing.T) {
	var order []int
	contestant := func(i int) Pass {
		return func(round int) (float64, error) {
			order = append(order, i)
			return float64(10*i + round), nil
		}
	}
	figures, err := Rounds(3, []Pass{contestant(0), contestant(1)})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{0, 1, 1, 0, 0, 1}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if want := []float64{10, 11, 12}; !slices.Equal(figures[1], want) {
		t.Errorf("figures %v, want %v", figures[1], want)
	}
}

func TestMedianAndRatio(t *testing.T) {
	if got := Median([]float64{5, 1, 3}); got != 3 {
		t.Errorf("median of three: %v", got)
	}
	if got := Median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median of four: %v", got)
	}
	if got := Ratio([]float64{2, 30, 8}, []float64{1, 10, 2}); got != 3 {
		t.Errorf("ratio: %v", got)
	}
}

func TestHistogramQuantiles(t *testing.T) {
	var h, part Histogram
	r := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	for i := range 100_000 {
		d := time.Duration(1) << r.IntN(40)
		d += time.Duration(r.Int64N(int64(d)))
		all = append(all, d)
		if i%3 == 0 {
			part.Add(d)
		} else {
			h.Add(d)
		}
	}
	h.Merge(&part)
	slices.Sort(all)
	for _, q := range []float64{0, 0.5, 0.99, 0.999} {
		want := all[int(q*float64(len(all)))]
		if got := h.Quantile(q); got > want || float64(got) < float64(want)*(1-1.0/sub) {
			t.Errorf("quantile %v: %v, want %v or up to 1/%d less", q, got, want, sub)
		}
	}
	if got := h.Longest(); got != all[len(all)-1] {
		t.Errorf("longest %v, want %v", got, all[len(all)-1])
	}
}

func TestBucketsAreContiguous(t *testing.T) {
	for i := range 50 * sub {
		if got := bucket(uint64(lowest(i))); got != i {
			t.Fatalf("bucket of %v: %d, want %d", lowest(i), got, i)
		}
		if i > 0 && bucket(uint64(lowest(i))-1) != i-1 {
			t.Fatalf("bucket %d does not end where %d starts", i-1, i)
		}
	}
}

func TestMemoryIsCounted(t *testing.T) {
	if err := ResetPeak(); err != nil {
		t.Skip(err)
	}
	before, err := PeakMemory()
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<20)
	for i := 0; i < len(block); i += 4096 {
		block[i] = 1
	}
	after, err := PeakMemory()
	if err != nil {
		t.Fatal(err)
	}
	if grown := after - before; grown < 60<<20 || grown > 80<<20 {
		t.Errorf("64 MiB more raised the peak by %d bytes", grown)
	}
}
