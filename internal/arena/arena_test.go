package arena

import (
	"errors"
	"testing"
)

func TestArenaGrowsInPlace(t *testing.T) {
	a, err := Reserve(10 << 20)
	if err != nil {
		t.Fatal(err)
	}
	small, err := a.Grow(1)
	if err != nil {
		t.Fatal(err)
	}
	small[0] = 7
	for n := 1 << 12; n <= 10<<20; n *= 2 {
		big, err := a.Grow(n)
		if err != nil {
			t.Fatal(err)
		}
		if &big[0] != &small[0] || big[0] != 7 {
			t.Fatal("the memory moved")
		}
		if big[n-1] != 0 {
			t.Fatal("new memory is not zero")
		}
		a.Prefault(n/2, n)
		big[n-1] = 1
		big[n-1] = 0
	}
	if _, err := a.Grow(100 << 20); !errors.Is(err, ErrLimit) {
		t.Fatalf("grow beyond the reservation: %v", err)
	}
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestDiscardKeepsTheRest(t *testing.T) {
	a, err := Reserve(4 * page)
	if err != nil {
		t.Fatal(err)
	}
	b, err := a.Grow(4 * page)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] = 1
	}
	a.Discard(1, 3*page-1) // the second unit, and no other
	if b[page-1] != 1 || b[2*page] != 1 {
		t.Error("what stands beside it is lost")
	}
	b[page] = 7
	if b[page] != 7 {
		t.Error("it is not usable any more")
	}
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
}
