package window

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax"
)

// The order agrees with a slice, and takes no more memory than the most it held.
func TestRecencyProperty(t *testing.T) {
	type item struct {
		key    hapax.Fingerprint
		digest hapax.Digest
		at     uint32
	}
	rapid.Check(t, func(t *rapid.T) {
		r := NewRecency()
		var model []item // oldest first
		most := 0
		for i := range rapid.IntRange(1, 300).Draw(t, "steps") {
			pick := 0
			if len(model) > 0 {
				pick = rapid.IntRange(0, len(model)-1).Draw(t, "item")
			}
			switch op := rapid.IntRange(0, 3).Draw(t, "step"); {
			case op <= 1 || len(model) == 0:
				it := item{key: hapax.Fingerprint{byte(i), byte(i >> 8)}, digest: hapax.Digest(i)}
				it.at = r.Push(it.key, it.digest)
				if it.at == 0 || slices.ContainsFunc(model, func(x item) bool { return x.at == it.at }) {
					t.Fatalf("index %d is taken", it.at)
				}
				model = append(model, it)
			case op == 2:
				it := model[pick]
				r.Touch(it.at)
				model = append(slices.Delete(model, pick, pick+1), it)
			default:
				r.Remove(model[pick].at)
				model = slices.Delete(model, pick, pick+1)
			}
			most = max(most, len(model))
			if r.Len() != len(model) || len(r.nodes) > most+1 {
				t.Fatalf("%d held in %d nodes, want %d", r.Len(), len(r.nodes), len(model))
			}
			key, at, ok := r.Oldest()
			if ok != (len(model) > 0) || ok && (key != model[0].key || at != model[0].at) {
				t.Fatalf("oldest %v at %d, %v", key, at, ok)
			}
			for skip := range 3 {
				leaving := slices.Collect(r.Leaving(skip, 2))
				for j, it := range model[min(skip, len(model)):min(skip+2, len(model))] {
					if j >= len(leaving) || leaving[j] != it.key {
						t.Fatalf("leaving behind %d: %v, want %v at %d", skip, leaving, it.key, j)
					}
				}
				if n := len(leaving); n > max(min(len(model)-skip, 2), 0) {
					t.Fatalf("%d leave behind %d of %d", n, skip, len(model))
				}
			}
			for _, it := range model {
				if r.Digest(it.at) != it.digest {
					t.Fatalf("digest of %v", it.key)
				}
			}
		}
		for _, it := range model {
			key, at, ok := r.Oldest()
			if !ok || key != it.key {
				t.Fatalf("got %v, want %v", key, it.key)
			}
			r.Remove(at)
		}
		if _, _, ok := r.Oldest(); ok || r.Len() != 0 {
			t.Fatal("something is left")
		}
	})
}
