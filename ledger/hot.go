package ledger

import (
	"errors"
	"fmt"
	"math"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

// hot is the identities in memory: a table that is swept, and the word that may
// stand beside each entry, a digest or a place in the order of an exact count
// window. All of it is called under the ledger's mu, but for what a stripe does with
// the table.
type hot struct {
	sweptTable
	o       *Options        // the ledger's
	recency *window.Recency // of an exact count window, else nil
}

// most is how many identities the table may take within its budget.
func (h *hot) most() int64 { return h.mem.most.Load() }

func (h *hot) full() error {
	return fmt.Errorf("%w: %d identities are live, and MaxMemory of %d bytes holds no more; %s", hapax.ErrFull, h.live.Load(), h.o.MaxMemory, h.o.relief())
}

// insert adds a key to the table, growing it at once if its neighbourhood is
// crowded.
func (h *hot) insert(k window.Key, s window.Spot, number uint8) (window.Place, error) {
	for {
		p, err := h.table.InsertAt(k, s, number, &h.stripes.of(k).live)
		if !errors.Is(err, window.ErrCrowded) {
			return p, err
		}
		grew, err := h.growNow()
		if err == nil && !grew {
			err = h.full()
		}
		if err != nil {
			return p, err
		}
		s = h.table.Spot(k)
	}
}

// setSide keeps an identity's digest, or its place in the order, beside it.
func (h *hot) setSide(k window.Key, p window.Place, f hapax.Fingerprint, d hapax.Digest) {
	if !h.o.Digests {
		d = 0
	}
	if h.recency != nil {
		h.table.SetSide(k, p, uint64(h.recency.Push(f, d)))
		h.trim()
	} else if h.o.Digests {
		h.table.SetSide(k, p, uint64(d))
	}
}

// trim lets the oldest identity of an exact count window go when one more came
// than it holds.
func (h *hot) trim() {
	for int64(h.recency.Len()) > h.o.Window.Count {
		f, at, _ := h.recency.Oldest()
		h.recency.Remove(at)
		k := window.KeyOf(f)
		p, was := h.table.Find(k)
		if was == 0 || was == window.Claimed || h.recencyAt(k, p) != at {
			continue // it had left by another bound, and may have come anew
		}
		h.table.Mark(k, p, 0)
		if gen := h.gens.ByNumber(was); gen != nil {
			h.gens.Remove(gen, 1, 0)
			h.live.Add(-1)
		}
	}
}

// digest is the digest kept of an identity in the table, 0 if none.
func (h *hot) digest(k window.Key, p window.Place) hapax.Digest {
	if h.recency == nil {
		return hapax.Digest(h.table.Side(k, p))
	}
	return h.recency.Digest(h.recencyAt(k, p))
}

// recencyAt is the place of an identity in the table in the order of an exact
// count window.
func (h *hot) recencyAt(k window.Key, p window.Place) uint32 { return uint32(h.table.Side(k, p)) }

// coldest is the oldest generations in the table that hold half of what it
// holds, and how many identities that is. The newest and the current one, which take
// what comes, are not among them.
func (h *hot) coldest(current *window.Generation) (gens []*window.Generation, keys int64) {
	return h.oldest(current, h.live.Load()*5/8)
}

// beforeCurrent is all generations in the table but the newest and the current one.
func (h *hot) beforeCurrent(current *window.Generation) []*window.Generation {
	gens, _ := h.oldest(current, math.MaxInt64)
	return gens
}

// oldest is the oldest generations in the table that hold up to so many identities, or
// the oldest alone.
func (h *hot) oldest(current *window.Generation, most int64) (gens []*window.Generation, keys int64) {
	if !h.o.chills() {
		return nil, 0
	}
	list := h.gens.List()
	for _, gen := range list[:max(len(list)-1, 0)] {
		if gen.Number == 0 {
			continue
		}
		if keys == 0 && len(gens) == cold.MaxGenerations {
			gens = gens[:0] // more empty ones than a file takes
		}
		if gen == current || len(gens) == cold.MaxGenerations || keys > 0 && keys+gen.Count > most {
			break
		}
		gens, keys = append(gens, gen), keys+gen.Count // an empty one too: none in the table is older than one in a file
	}
	if keys == 0 {
		return nil, 0
	}
	return gens, keys
}

// unclaim takes the mark of a claim that is over out of the table.
func (h *hot) unclaim(f hapax.Fingerprint) {
	k := window.KeyOf(f)
	st := h.stripes.of(k)
	st.mu.Lock()
	defer st.mu.Unlock()
	if p, was := h.table.Find(k); was == window.Claimed {
		h.table.Mark(k, p, 0)
	}
}
