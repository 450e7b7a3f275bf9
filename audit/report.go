package audit

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// What a ledger pays to remember one identity, in bytes: hot, all of it is in
// memory; cold, its oldest part is on disk with a filter before it. Digests,
// details and receipts cost extra.
const (
	HotMemory  = 20.0
	ColdMemory = 2.5
	Disk       = 16.5
)

// Report is what an audit found. Its JSON form is stable: fields may be added.
type Report struct {
	Messages   int64 `json:"messages"` // unique + duplicates + conflicts + without_id
	Bytes      int64 `json:"bytes"`
	Unique     int64 `json:"unique"`
	Duplicates int64 `json:"duplicates"`
	Conflicts  int64 `json:"conflicts"`  // messages whose identity came before with another payload
	WithoutID  int64 `json:"without_id"` // messages without an identity

	Clock *Clock `json:"clock,omitempty"` // nil if no message had an event time
	Ages  []Ages `json:"ages"`            // of duplicates: by time if there is a clock, by count, by bytes

	Offenders        []Offender        `json:"offenders"`         // most copies first
	ConflictExamples []ConflictExample `json:"conflict_examples"` // the first ones
	MemoryBytes      int64             `json:"memory_bytes"`      // that the audit took for all this
}

// Clock says how far to trust ages by time.
type Clock struct {
	From     time.Time `json:"from"` // earliest and latest event time
	To       time.Time `json:"to"`
	Timeless int64     `json:"timeless"` // messages without an event time: the clock stood still for them
	// LagMillis is how far the first sight of an identity lay behind the clock
	// at most: a window by event time must be that much longer.
	LagMillis int64 `json:"lag_ms"`
	// StepMillis is the longest that one message, number StepMessage, moved the
	// clock. A step of years is a wrong time, and ages after it are too short.
	StepMillis  int64 `json:"step_ms"`
	StepMessage int64 `json:"step_message"`
}

// Ages are how old duplicates are in one dimension.
type Ages struct {
	By        string    `json:"by"`        // time, count or bytes
	Unit      string    `json:"unit"`      // ms, messages or bytes: of all values below
	Greatest  int64     `json:"greatest"`  // since the first sight
	Renewed   int64     `json:"renewed"`   // the greatest since the last sight
	Histogram []Bucket  `json:"histogram"` // since the first sight; empty ones inside are listed
	Windows   []Catches `json:"windows"`   // by share, rising
}

// Bucket counts duplicates of From to To, both included. Each is twice as wide
// as the one before.
type Bucket struct {
	From       int64 `json:"from"`
	To         int64 `json:"to"`
	Duplicates int64 `json:"duplicates"`
}

// Catches is a window and what it would do and cost.
type Catches struct {
	Share      float64 `json:"share"`      // of the duplicates, that it catches at least
	Window     int64   `json:"window"`     // of kind first
	Renewed    int64   `json:"renewed"`    // the same of kind renewed
	Duplicates int64   `json:"duplicates"` // that the window of kind first catches
	// Identities are the most that were inside the window at once. Where it
	// misses duplicates, which come in as new, this is an estimate: their share of
	// the unique ones is added, up to what the next longer window holds, for when
	// they came is not kept. It can be too high, where they came apart from the rest.
	Identities int64 `json:"identities"`
	HotMemory  int64 `json:"hot_memory_bytes"`
	ColdMemory int64 `json:"cold_memory_bytes"`
	Disk       int64 `json:"disk_bytes"`
}

// Offender is an identity with many copies.
type Offender struct {
	ID        string `json:"id"`
	Copies    int64  `json:"copies"`    // after the first; conflicts are among them
	Conflicts int64  `json:"conflicts"` // with another payload than the first
	First     int64  `json:"first"`     // number of the message in the stream, counted from 1
	Last      int64  `json:"last"`
}

// ConflictExample is a message whose identity came before with another payload.
type ConflictExample struct {
	ID      string `json:"id"`
	First   int64  `json:"first"`   // number of the message with the first payload, counted from 1
	Message int64  `json:"message"` // and of this one
	Source  string `json:"source"`  // its position
	Offset  int64  `json:"offset"`
}

// shares are the windows that a report offers, in thousandths of the duplicates.
func shares() []int64 { return []int64{500, 900, 990, 999, 1000} }

// Report says what was found so far. It walks over all identities; messages may
// be added afterwards.
func (a *Audit) Report() *Report {
	r := &Report{
		Messages: a.now.message, Bytes: a.now.offset,
		Unique: a.unique, Duplicates: a.duplicates, Conflicts: a.conflicts, WithoutID: a.missing,
		Offenders:        make([]Offender, 0, len(a.worst)),
		ConflictExamples: append([]ConflictExample{}, a.examples...),
		MemoryBytes:      a.Memory(),
	}
	var windows []*liveWindow
	for d := range dimensions {
		if d == byTime && !a.clock.known {
			continue
		}
		r.Ages = append(r.Ages, a.ages(d))
		list := r.Ages[len(r.Ages)-1].Windows
		for i := range list {
			windows = append(windows, &liveWindow{by: d, result: &list[i], oldest: a.sights.place(cursor{})})
		}
	}
	a.live(windows)
	if c := a.clock; c.known {
		r.Clock = &Clock{
			From: time.UnixMilli(c.earliest).UTC(), To: time.UnixMilli(c.latest).UTC(),
			Timeless: c.timeless, LagMillis: c.lag, StepMillis: c.step, StepMessage: c.stepTaker + 1,
		}
	}
	for _, o := range a.worst {
		first, _ := a.sights.at(o.sight)
		r.Offenders = append(r.Offenders, Offender{
			ID: o.id, Copies: o.copies, Conflicts: o.conflicts,
			First: first.message + 1, Last: o.last.message + 1,
		})
	}
	slices.SortFunc(r.Offenders, func(x, y Offender) int {
		return cmp.Or(cmp.Compare(y.Copies, x.Copies), cmp.Compare(x.First, y.First))
	})
	return r
}

// ages are what is known in one dimension, all but the cost of the windows.
func (a *Audit) ages(d dimension) Ages {
	first, last := &a.sinceNew[d], &a.sinceLast[d]
	ages := Ages{
		By:       [...]string{"time", "count", "bytes"}[d],
		Unit:     [...]string{"ms", "messages", "bytes"}[d],
		Greatest: first.max, Renewed: last.max,
		Histogram: append([]Bucket{}, first.octaves()...),
		Windows:   []Catches{},
	}
	if first.n == 0 {
		return ages
	}
	for _, share := range shares() {
		age, caught := first.quantile(share)
		renewed, _ := last.quantile(share)
		ages.Windows = append(ages.Windows, Catches{
			Share: float64(share) / 1000, Window: age + 1, Renewed: renewed + 1, Duplicates: caught,
		})
	}
	return ages
}

// liveWindow counts the first sights inside a window that moves over the stream.
type liveWindow struct {
	by     dimension
	result *Catches
	tail   cursor // the oldest sight inside
	oldest place  // where that is
	inside int64
	peak   int64
}

// live fills in how many identities were inside each window, and their cost.
func (a *Audit) live(windows []*liveWindow) {
	s := &a.sights
	for c := (cursor{}); len(windows) > 0 && s.more(c); c = s.after(c) {
		here := s.place(c)
		for _, w := range windows {
			w.inside++
			for w.by.of(here)-w.by.of(w.oldest) >= w.result.Window {
				w.inside--
				w.tail = s.after(w.tail)
				w.oldest = s.place(w.tail)
			}
			w.peak = max(w.peak, w.inside)
		}
	}
	for i, w := range slices.Backward(windows) {
		missed := float64(a.duplicates - w.result.Duplicates)
		n := math.Ceil(float64(w.peak) * (1 + missed/float64(a.unique)))
		if w.by == byCount {
			n = min(n, float64(w.result.Window))
		}
		if i+1 < len(windows) && windows[i+1].by == w.by {
			n = min(n, float64(windows[i+1].result.Identities))
		}
		w.result.Identities = int64(n)
		w.result.HotMemory = int64(math.Ceil(n * HotMemory))
		w.result.ColdMemory = int64(math.Ceil(n * ColdMemory))
		w.result.Disk = int64(math.Ceil(n * Disk))
	}
}
