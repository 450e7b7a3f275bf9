package brokertest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Report is what a course did, and what it found.
type Report struct {
	Seed     uint64
	Took     time.Duration
	Done     map[string]int // faults, by kind
	Acked    int            // records
	Outcomes [3]int         // transactions committed, aborted, unknown
	Findings []Finding
}

// Kills is how many times the process was killed.
func (r Report) Kills() int { return r.Done["kill"] + r.Done["kill while starting"] }

func (r Report) String() string {
	const most = 3 // accounts of a kind
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %v:", r.Seed, r.Took.Round(time.Millisecond))
	for _, kind := range slices.Sorted(maps.Keys(r.Done)) {
		fmt.Fprintf(&b, " %d %s,", r.Done[kind], kind)
	}
	fmt.Fprintf(&b, " %d records acknowledged, %d transactions committed, %d aborted, %d unknown: %d findings\n",
		r.Acked, r.Outcomes[0], r.Outcomes[1], r.Outcomes[2], len(r.Findings))
	shown := map[string]int{}
	for _, f := range r.Findings {
		if shown[f.Promise]++; shown[f.Promise] <= most {
			fmt.Fprintf(&b, "  broken: %s\n    %s\n", f.Promise, strings.TrimSuffix(f.Account, "\n"))
		}
	}
	for promise, n := range shown {
		if n > most {
			fmt.Fprintf(&b, "  and %d more: %s\n", n-most, promise)
		}
	}
	return b.String()
}

// Add sums courses up.
func (r Report) Add(other Report) Report {
	sum := Report{Seed: other.Seed, Took: r.Took + other.Took, Acked: r.Acked + other.Acked, Done: map[string]int{}}
	for _, done := range []map[string]int{r.Done, other.Done} {
		for kind, n := range done {
			sum.Done[kind] += n
		}
	}
	for i := range sum.Outcomes {
		sum.Outcomes[i] = r.Outcomes[i] + other.Outcomes[i]
	}
	sum.Findings = append(slices.Clone(r.Findings), other.Findings...)
	return sum
}
