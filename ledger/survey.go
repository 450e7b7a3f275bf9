package ledger

import (
	"iter"
	"slices"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

// All yields every identity that is remembered or claimed, in no order. What
// comes or goes meanwhile, or is seen again while it is cold, may be in it or not.
// The last pair carries the error, if there is one.
func (l *Ledger) All() iter.Seq2[Sighting, error] {
	return func(yield func(Sighting, error) bool) {
		v := survey{l: l}
		var batch []Sighting
		for shard := range 256 {
			var err error
			if batch, err = v.shard(uint8(shard), batch[:0]); err != nil {
				yield(Sighting{}, err)
				return
			}
			for _, s := range batch {
				if !yield(s, nil) {
					return
				}
			}
		}
		v.cold(yield)
	}
}

// survey is one All under way. It holds locks for a shard or an entry at a time.
type survey struct{ l *Ledger }

// shard appends the sightings of one shard.
func (v *survey) shard(shard uint8, dst []Sighting) (all []Sighting, err error) {
	l := v.l
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { err = l.sound(err) }()
	if err := l.ready(); err != nil {
		return nil, err
	}
	now := l.now()
	if err := l.turnIfDue(now); err != nil {
		return nil, err
	}
	for {
		at, ok := l.hot.table.Sweeping()
		if !ok || at != shard {
			break
		}
		l.hot.step()
	}
	st := l.stripes.ofShard(shard)
	st.mu.Lock()
	defer st.mu.Unlock()
	l.hot.table.All(shard, func(k window.Key, number uint8, side uint64) bool {
		if !st.live[number] {
			return true
		}
		s := Sighting{Fingerprint: k.Fingerprint()}
		if number == window.Claimed {
			h, ok := l.claims.Get(s.Fingerprint, now)
			if !ok {
				return true
			}
			s.Verdict, s.Token, s.Digest, s.Expires = hapax.InFlight, h.Token, h.Digest, time.Unix(0, h.Deadline)
		} else {
			s.remember(l.gens.ByNumber(number), l.gens)
			if s.Digest = hapax.Digest(side); l.hot.recency != nil {
				s.Digest = l.hot.recency.Digest(uint32(side))
			}
		}
		dst = append(dst, s)
		return true
	})
	return dst, nil
}

// cold yields the identities of the cold files.
func (v *survey) cold(yield func(Sighting, error) bool) {
	l := v.l
	l.mu.Lock()
	files := slices.Clone(l.cold.files)
	l.cold.readers++
	l.cold.surveys++
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.cold.surveys--
		l.cold.endRead()
	}()
	for i, f := range files {
		for e, err := range f.All() {
			s, ok := Sighting{}, false
			if err == nil {
				s, ok, err = v.sightCold(f, files[i+1:], e)
			}
			if err != nil {
				yield(s, err)
				return
			}
			if ok && !yield(s, nil) {
				return
			}
		}
	}
}

// sightCold is the sighting of an entry that is live, and not newer in the table
// or a younger file.
func (v *survey) sightCold(f *cold.File, younger []*cold.File, e cold.Entry) (s Sighting, ok bool, err error) {
	l := v.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return s, false, err
	}
	s.Fingerprint = e.Key.Fingerprint()
	g := l.cold.generation(f, e)
	if g == nil {
		return s, false, nil
	}
	for _, f := range younger {
		again, found, err := f.Find(e.Key)
		if err != nil || found && l.cold.generation(f, again) != nil {
			return s, false, err
		}
	}
	st := l.stripes.of(e.Key)
	st.mu.Lock()
	_, was := l.hot.table.Find(e.Key)
	hot := st.live[was]
	st.mu.Unlock()
	if hot {
		return s, false, nil
	}
	s.remember(g, l.gens)
	s.Digest = e.Digest
	return s, true, nil
}
