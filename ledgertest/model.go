package ledgertest

import (
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

// Model is what the embedded ledger is compared with: maps, no files, nothing
// clever. Where the promise leaves room (an identity may be remembered up to
// 1/128 of the window longer) it accepts each permitted answer and goes on from
// the one given. Not safe for concurrent use.
type Model struct {
	window  hapax.Window
	changed changed // its bounds
	digests bool

	now       int64 // arrival time in Unix nanoseconds
	watermark int64 // of event time

	ids   int64 // distinct identities that came
	bytes tally // bytes of messages that came
	sight int64 // number of sights
	known map[hapax.Fingerprint]*memory
	holds map[hapax.Fingerprint]*hold
	past  map[hapax.Fingerprint]uint64 // highest token seen
	gone  []int64                      // last sights of identities that were forgotten on request
	from  map[string]*source
}

// tally counts bytes in the two ways the words "until messages of this many
// bytes came" can be read; what both readings say is demanded.
type tally struct{ fresh, all int64 }

// memory is one remembered identity.
type memory struct {
	digest  hapax.Digest
	early   int64        // the time its window runs from, at the earliest
	late    int64        // and at the latest
	ordinal int64        // identities that had come before it
	bytes   tally        // bytes that had come up to and with it
	size    int64        // of its message
	sight   int64        // last sight, for renewed windows
	within  hapax.Window // that it came in
	counted counted      // what had come when its window began to count that, if it came before
	shaken  bool         // a crash or a failure left it open whether it is remembered
}

// hold is a live claim.
type hold struct {
	token    uint64
	digest   hapax.Digest
	deadline int64
	shaken   bool
}

// source is where one source stands.
type source struct {
	confirmed int64
	any       bool // something was confirmed
	admitted  map[int64]admission
}

// admission is how a position was first answered.
type admission struct {
	fp      hapax.Fingerprint
	verdict hapax.Verdict
}

// Recall is what the model demands of an identity.
type Recall int

// The demands.
const (
	Gone Recall = iota // never came, or left the window: must be fresh
	Open               // may be remembered or not
	Kept               // inside the window: must be a duplicate
)

// NewModel returns an empty model of a ledger with the options' window.
func NewModel(o ledger.Options, now time.Time) *Model {
	return &Model{
		window: o.Window, digests: o.Digests, now: now.UnixNano(), watermark: -1 << 62,
		known: map[hapax.Fingerprint]*memory{}, holds: map[hapax.Fingerprint]*hold{},
		past: map[hapax.Fingerprint]uint64{}, from: map[string]*source{},
	}
}

// SetTime moves the arrival clock, which never goes back.
func (m *Model) SetTime(now time.Time) { m.now = max(m.now, now.UnixNano()) }

// Recall says whether fp must, may or must not be remembered now.
func (m *Model) Recall(fp hapax.Fingerprint) Recall {
	k := m.known[fp]
	if k == nil {
		return Gone
	}
	others := min(m.byCount(k), m.byBytes(k))
	if m.window.EventTime && others == Gone {
		others = Open // oldest by its own time goes first, so it may stay as long as time lets it
	}
	byTime := m.byTime(k)
	recall := min(byTime, others)
	if k.shaken {
		recall = min(recall, Open)
	}
	if recall == Gone && byTime == Open && m.changed.ever {
		return Open // others may have left before it, and do not count
	}
	return recall
}

// between grades age in a window of width w: inside, in the slack behind it, out.
func between(age, w, slack int64) Recall {
	switch {
	case age < w:
		return Kept
	case age <= w+slack:
		return Open
	}
	return Gone
}

// spanned is what two readings have in common.
func spanned(a, b Recall) Recall {
	if a != b {
		return Open
	}
	return a
}

// bounds is how many bounds w has.
func bounds(w hapax.Window) (n int) {
	for _, b := range []int64{int64(w.Time), w.Count, w.Bytes} {
		if b != 0 {
			n++
		}
	}
	return n
}

// sliceOf is the width of a window's slices by one of its bounds: how much beyond that an
// identity may stay that came within it.
func sliceOf(w hapax.Window, bound int64) int64 {
	if bounds(w) > 1 {
		return bound/64 + 1
	}
	return bound/128 + 1
}

func (m *Model) clock() int64 {
	if m.window.EventTime {
		return m.watermark
	}
	return m.now
}

func (m *Model) byTime(k *memory) Recall {
	w := int64(m.window.Time)
	if w == 0 {
		return Kept
	}
	now, early, late := m.clock(), k.early, k.late
	slack := max(sliceOf(m.window, w), sliceOf(k.within, int64(k.within.Time)))
	if m.window.Kind == hapax.Tumbling {
		// The aligned window it fell into began at or before it.
		early, late = early-floorMod(early, w), late-floorMod(late, w)
	}
	return spanned(between(now-early, w, slack), between(now-late, w, slack))
}

func floorMod(a, b int64) int64 { return ((a % b) + b) % b }

// byCount: a single count bound is exact up to a million.
func (m *Model) byCount(k *memory) Recall {
	n := m.window.Count
	if n == 0 {
		return Kept
	}
	slack := max(sliceOf(m.window, n), sliceOf(k.within, k.within.Count))
	if bounds(m.window) == 1 && n <= 1_000_000 && !m.changed.inexact {
		slack = -1
	}
	var forgotten int64 // of those that came since; they may count or not
	for _, sight := range m.gone {
		if sight > k.sight {
			forgotten++
		}
	}
	others := m.ids - k.ordinal - 1
	sure := min(others, m.ids-k.counted.ids) - forgotten
	switch m.window.Kind {
	case hapax.Renewed:
		others, sure = forgotten, 0
		for _, other := range m.known {
			if other.sight > k.sight {
				others++
			}
			if other.sight > max(k.sight, k.counted.sight) {
				sure++
			}
		}
	case hapax.Tumbling:
		age := m.ids - k.ordinal/n*n // identities since its window began
		switch {
		case len(m.gone) > 0: // which may have moved where windows begin
			return min(Open, between(others-forgotten, n, slack))
		case age == n:
			return Open // full, and the next has not begun
		}
		return between(age, n, slack)
	}
	return spanned(between(sure, n, slack), between(others, n, slack))
}

func (m *Model) byBytes(k *memory) Recall {
	w := m.window.Bytes
	if w == 0 {
		return Kept
	}
	most, least := m.bytes.all-k.bytes.all, m.bytes.fresh-max(k.bytes.fresh, k.counted.bytes)
	slack := max(sliceOf(m.window, w), sliceOf(k.within, k.within.Bytes))
	if m.window.Kind == hapax.Tumbling {
		return min(Open, between(least, w, slack)) // where it is cut is the ledger's to choose
	}
	recall := spanned(between(most, w, slack), between(least, w, slack))
	if m.window.Kind == hapax.Renewed && m.changed.sets {
		return max(recall, Open) // those of messages whose identities came again may not count
	}
	return recall
}
