package relay

import (
	"testing"

	"pgregory.net/rapid"
)

// TestPart: whatever relays there are, and whoever asks first, each gets its part in the
// end: none is two shards ahead of another, and none is left over.
func TestPart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		relays := int64(rapid.IntRange(1, 20).Draw(t, "relays"))
		shards := make([]Shard, 16)
		for i := range shards {
			holder := rapid.Int64Range(0, relays+1).Draw(t, "holder")
			shards[i] = Shard{Number: i, Holder: holder, Ended: holder > relays} // that one is dead
		}
		order := rapid.Permutation(ids(relays)).Draw(t, "order")
		for range 40 {
			for _, id := range order {
				step(shards, id)
			}
		}
		counts := map[int64]int{}
		for _, s := range shards {
			counts[s.Holder]++
			if s.Holder == 0 || s.Ended {
				t.Fatalf("nobody has shard %d: %+v", s.Number, shards)
			}
		}
		for _, a := range order {
			for _, b := range order {
				if counts[a] > counts[b]+1 {
					t.Fatalf("%d has %d shards, %d has %d", a, counts[a], b, counts[b])
				}
			}
		}
	})
}

func ids(n int64) (all []int64) {
	for id := int64(1); id <= n; id++ {
		all = append(all, id)
	}
	return all
}

// step is what a relay does when it looks at the shards.
func step(shards []Shard, id int64) {
	for i := range shards {
		if s := &shards[i]; s.Holder == id && s.Claimant != 0 {
			s.Holder, s.Claimant = s.Claimant, 0
		}
	}
	take, ask := part(shards, id)
	for _, s := range take {
		shards[s.Number].Holder, shards[s.Number].Ended, shards[s.Number].Claimant = id, false, 0
	}
	for _, s := range ask {
		shards[s.Number].Claimant = id
	}
}
