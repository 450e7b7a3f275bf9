package ledger

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/hapaxmq/hapax/window"
)

// Stats are counters since open, and gauges of now.
type Stats struct {
	Fresh, Duplicates, Redelivered, InFlight, Conflicts, Late, Stale int64

	Live        int64 // identities remembered
	LiveCold    int64 // of these, in cold files
	EvictedLive int64 // let go before their window ended, since the ledger was made
	Claims      int64 // held, some of which may just have run out
	Producers   int64 // remembered by AdmitSequences, some of which may be idle by now
	Memory      int64 // bytes of table, filters and producers
	Disk        int64 // bytes of files

	// Since is from when on every identity that came is remembered, whatever made
	// others leave, bounds and budgets alike. It may be later than need be, by the
	// width of a generation. Zero: none is remembered.
	Since time.Time

	// Time is the latest that the ledger has come to. It is opened with it, and so has to
	// be whoever gives it the time.
	Time time.Time

	Failed error // why the ledger refuses all work until it is opened again

	// Ages counts duplicates by the age of their first copy, to the width of a
	// generation: Ages[i] those up to AgeBounds()[i] that are no younger ones', the
	// last those that are older than all.
	Ages [len(ageBounds) + 1]int64
}

// ageBounds are round, as the times are by which windows are set.
var ageBounds = [...]time.Duration{
	time.Second, 10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute,
	time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour,
}

// AgeBounds are the ages that [Stats].Ages tells apart.
func AgeBounds() [len(ageBounds)]time.Duration { return ageBounds }

// AgeBucket is where [Stats].Ages counts an age.
func AgeBucket(age time.Duration) int {
	i := 0
	for i < len(ageBounds) && age > ageBounds[i] {
		i++
	}
	return i
}

// counter is a number under the ledger's mu.
type counter int64

func (c *counter) Add(n int64) { *c += counter(n) }
func (c *counter) Load() int64 { return int64(*c) }

type stats struct {
	fresh, duplicates                             counter
	redelivered, inFlight, conflicts, late, stale atomic.Int64

	ages [len(ageBounds) + 1]atomic.Int64
}

func (s *stats) age(ns int64) { s.countAge(ns, 1) }

func (s *stats) countAge(ns, n int64) {
	s.ages[AgeBucket(time.Duration(ns))].Add(n)
}

// countAges counts what the stripes have had of duplicates by their age at a time. It
// must hold mu and all stripes.
func (s *stats) countAges(stripes *stripeSet, gens *window.Generations, now int64, longest time.Duration) {
	for i := range stripes {
		for number, n := range &stripes[i].ages {
			if n == 0 {
				continue
			}
			stripes[i].ages[number] = 0
			if gen := gens.ByNumber(uint8(number)); gen != nil {
				s.countAge(now-gen.Start, int64(n))
			} else {
				s.countAge(int64(longest), int64(n))
			}
		}
	}
}

// Stats returns the ledger's counters and gauges.
func (l *Ledger) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.serving {
		return Stats{}
	}
	l.settle()
	if !l.o.Window.EventTime {
		_ = l.turn(l.now()) // what has ended is not live
	}
	s := Stats{
		Fresh: l.stats.fresh.Load(), Duplicates: l.stats.duplicates.Load(),
		Redelivered: l.stats.redelivered.Load(), InFlight: l.stats.inFlight.Load(),
		Conflicts: l.stats.conflicts.Load(), Late: l.stats.late.Load(), Stale: l.stats.stale.Load(),
		Live: l.hot.live.Load() + l.cold.live, LiveCold: l.cold.live, EvictedLive: l.evictions.total,
		Claims: int64(l.claims.Len()), Memory: l.hot.table.Bytes() + l.cold.memory(),
		Since: whole(l.gens, l.hot.recency != nil && int64(l.hot.recency.Len()) >= l.o.Window.Count, l.o.Window.EventTime), Time: time.Unix(0, l.gens.Watermark()),
		Failed: l.failed,
	}
	for i := range s.Ages {
		s.Ages[i] = l.stats.ages[i].Load()
	}
	if l.sequences != nil {
		s.Producers = int64(l.sequences.rows.Len())
		s.Memory += l.sequences.rows.Bytes()
	}
	if l.journal != nil {
		s.Disk = l.journal.size() + l.cold.size()
	}
	return s
}

// whole is Stats.Since. The oldest generation may have lost identities, one by one
// where the window is an exact count that is full; or others of its slice have gone
// before it.
func whole(gens *window.Generations, full, event bool) time.Time {
	live := gens.List()
	for len(live) > 0 && live[0].Count == 0 {
		live = live[1:]
	}
	if len(live) == 0 {
		return time.Time{}
	}
	first := live[0]
	if first.ID == 1 && !full {
		return time.Unix(0, first.Start)
	}
	if len(live) > 1 && first.End == math.MaxInt64 && !event { // it took none once the next had begun
		return time.Unix(0, live[1].Start+1)
	}
	for _, gen := range live[1:] {
		if gen.Start > first.Start {
			since := gen.Start
			if first.End != math.MaxInt64 {
				since = max(since, first.End)
			}
			return time.Unix(0, since)
		}
	}
	return time.Unix(0, gens.Watermark())
}
