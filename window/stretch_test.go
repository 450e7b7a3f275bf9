package window

import (
	"testing"

	"github.com/hapaxmq/hapax"
)

// A burst of bytes takes all numbers; the trickle behind it is still let go in
// time.
func TestStretchIsBounded(t *testing.T) {
	const width, window = 1000, 128_000
	g := NewGenerations(hapax.Window{Time: window, Bytes: 12_800}, 0)
	g.Advance(origin)
	for range 245 {
		g.Add(at(t, g, 0, 51), 1, 51) // two do not fit one generation
	}
	seen := origin + 2*width
	g.Advance(seen)
	first := at(t, g, 0, 0)
	g.Add(first, 1, 0)
	for now := seen; now <= seen+window+window/64+width; now += width / 2 {
		g.Advance(now)
		scrub(g)
		g.Add(at(t, g, 0, 0), 1, 0)
	}
	if isLive(g, first) {
		end, _ := g.Expires(first)
		t.Errorf("seen 0 ns after the burst's slice, remembered for %d times its window", (end-seen)/window)
	}
}
