package ledgertest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

// verdicts is a set of them.
type verdicts uint16

func oneOf(vs ...hapax.Verdict) (set verdicts) {
	for _, v := range vs {
		set |= 1 << v
	}
	return set
}

func (s verdicts) has(v hapax.Verdict) bool { return s&(1<<v) != 0 }

func (s verdicts) String() string {
	var names []string
	for v := hapax.Fresh; v <= hapax.Stale; v++ {
		if s.has(v) {
			names = append(names, v.String())
		}
	}
	return strings.Join(names, " or ")
}

// Admitted compares the verdicts of an admitted batch with what they may be,
// entry by entry, and takes them over.
func (m *Model) Admitted(b *ledger.Batch) error {
	for i, e := range b.Entries {
		want := m.may(b.Source, e)
		if !want.has(e.Verdict) {
			return fmt.Errorf("entry %d of %d (%v, %q at %d): %v, want %v",
				i, len(b.Entries), e.Fingerprint, b.Source, e.Offset, e.Verdict, want)
		}
		m.take(b.Source, e)
	}
	return nil
}

// may says how entry e may be answered now.
func (m *Model) may(name string, e ledger.Entry) verdicts {
	if set, met := m.mayAgain(name, e); met {
		return set
	}
	m.bytes.all += e.Size
	switch m.late(e) {
	case Kept:
		return m.mayNew(e)
	case Open:
		return m.mayNew(e) | oneOf(hapax.Late, hapax.Fresh)
	}
	return oneOf(hapax.Late)
}

// late moves the watermark and says whether e is too old: Gone is Late, Kept is
// in time.
func (m *Model) late(e ledger.Entry) Recall {
	if !m.window.EventTime {
		return Kept
	}
	m.watermark = max(m.watermark, min(e.Time, m.now+int64(m.window.Skew)))
	w := int64(m.window.Time)
	recall := between(m.watermark-e.Time, w+1, sliceOf(m.window, w))
	if m.window.Kind == hapax.Tumbling && e.Time-floorMod(e.Time, w) != m.watermark-floorMod(m.watermark, w) {
		return min(Open, recall) // its aligned window has ended
	}
	return recall
}

// mayAgain is may for a position that was met before. What it was told it is told
// again, whatever the window is by now.
func (m *Model) mayAgain(name string, e ledger.Entry) (set verdicts, met bool) {
	src := m.from[name]
	if name == "" || src == nil {
		return 0, false
	}
	if src.any && e.Offset <= src.confirmed {
		set := oneOf(hapax.Duplicate) // done, whatever is still remembered
		if m.digests && conflict(m.known[e.Fingerprint], e) {
			set |= oneOf(hapax.Conflict)
		}
		return set, true
	}
	first, met := src.admitted[e.Offset]
	if !met || first.fp != e.Fingerprint {
		return 0, false
	}
	set = oneOf(first.verdict)
	if first.verdict == hapax.Fresh {
		set = oneOf(hapax.Redelivered)
	}
	h := m.holds[e.Fingerprint]
	if h == nil || m.now > h.deadline {
		return set, true
	}
	held := m.mayNew(e) &^ oneOf(hapax.Fresh) // two never work on one identity
	if h.shaken || m.now == h.deadline {
		return held | set, true
	}
	return held, true
}

// mayNew is may for a position that was not met before, or for none.
func (m *Model) mayNew(e ledger.Entry) verdicts {
	if h := m.holds[e.Fingerprint]; h != nil && m.now <= h.deadline {
		set := oneOf(hapax.InFlight)
		if e.Digest != 0 && h.digest != 0 && e.Digest != h.digest {
			set = oneOf(hapax.Conflict)
			if !m.digests {
				set |= oneOf(hapax.InFlight) // a claim's digest costs nothing to keep
			}
		}
		if h.shaken || m.now == h.deadline {
			set |= oneOf(hapax.Fresh)
		}
		return set
	}
	set := oneOf(hapax.Duplicate)
	if m.digests && conflict(m.known[e.Fingerprint], e) {
		set = oneOf(hapax.Conflict)
	}
	switch m.Recall(e.Fingerprint) {
	case Open:
		return set | oneOf(hapax.Fresh)
	case Gone:
		return oneOf(hapax.Fresh)
	}
	return set
}

// conflict reports whether e is a copy of k with another payload.
func conflict(k *memory, e ledger.Entry) bool {
	return k != nil && k.digest != 0 && e.Digest != 0 && k.digest != e.Digest
}

// take goes on from the verdict that was given.
func (m *Model) take(name string, e ledger.Entry) {
	src := m.from[name]
	if name != "" && src == nil {
		src = &source{admitted: map[int64]admission{}}
		m.from[name] = src
	}
	met := false
	if name != "" {
		first, again := src.admitted[e.Offset]
		met = again && first.fp == e.Fingerprint || src.any && e.Offset <= src.confirmed
		if e.Verdict == hapax.Fresh || e.Verdict == hapax.Conflict || e.Verdict == hapax.Duplicate && !met {
			src.admitted[e.Offset] = admission{e.Fingerprint, e.Verdict}
		}
	}
	switch {
	case met: // it lets nothing leave
		m.glimpse(e)
	case e.Verdict == hapax.Fresh:
		m.bytes.fresh += e.Size
		m.remember(e)
	case e.Verdict == hapax.Duplicate:
		m.renew(e)
	}
}

// span is between which times e's window runs, at the earliest and the latest.
func (m *Model) span(e ledger.Entry) (early, late int64) {
	if !m.window.EventTime {
		return m.now, m.now
	}
	return min(e.Time, m.now+int64(m.window.Skew)), e.Time
}

func (m *Model) remember(e ledger.Entry) {
	early, late := m.span(e)
	m.sight++
	m.known[e.Fingerprint] = &memory{digest: e.Digest, early: early, late: late,
		ordinal: m.ids, bytes: m.bytes, size: e.Size, sight: m.sight, within: m.window}
	m.ids++
	delete(m.holds, e.Fingerprint) // its lease ran out, or it would be in flight
}

// renew notes a copy, which only a renewed window runs anew from.
func (m *Model) renew(e ledger.Entry) {
	k := m.known[e.Fingerprint]
	if k == nil {
		return
	}
	k.shaken = false
	if m.window.Kind != hapax.Renewed {
		return
	}
	early, late := m.span(e)
	k.early, k.late = max(k.early, early), max(k.late, late)
	m.sight++
	k.sight, k.bytes, k.within = m.sight, m.bytes, m.window
}

// glimpse notes a position met again. Whether that is a sight which renews a window
// of time is the ledger's to choose.
func (m *Model) glimpse(e ledger.Entry) {
	k, w := m.known[e.Fingerprint], m.window
	if k == nil || w.Kind != hapax.Renewed || w.EventTime || w.Count+w.Bytes != 0 || m.Recall(e.Fingerprint) == Gone {
		return
	}
	k.late = max(k.late, m.now)
}

// Confirmed notes that the source is done up to and with offset.
func (m *Model) Confirmed(name string, offset int64) {
	src := m.from[name]
	if src == nil {
		src = &source{admitted: map[int64]admission{}}
		m.from[name] = src
	}
	src.confirmed, src.any = offset, true
	for at := range src.admitted {
		if at <= offset {
			delete(src.admitted, at)
		}
	}
}

// Forgotten notes that fp was forgotten on request; existed is the answer.
func (m *Model) Forgotten(fp hapax.Fingerprint, existed bool) error {
	recall := m.Recall(fp)
	if recall == Kept && !existed || recall == Gone && existed && m.holds[fp] == nil {
		return fmt.Errorf("forget %v: existed is %t", fp, existed)
	}
	if k := m.known[fp]; k != nil {
		m.gone = append(m.gone, k.sight)
		m.bytes.fresh -= k.size
	}
	delete(m.known, fp)
	delete(m.holds, fp)
	return nil
}

// Claimed compares a claim with what it may be, and takes it over. The lease is
// the one asked for, in nanoseconds.
func (m *Model) Claimed(c hapax.Claim, lease int64) error {
	e := ledger.Entry{Fingerprint: c.Fingerprint, Digest: c.Digest, Time: m.now}
	want := m.mayNew(e)
	if !want.has(c.Verdict) {
		return fmt.Errorf("claim %v: %v, want %v", c.Fingerprint, c.Verdict, want)
	}
	switch c.Verdict {
	case hapax.Fresh:
		if c.Token <= m.past[c.Fingerprint] {
			return fmt.Errorf("claim %v: token %d after %d", c.Fingerprint, c.Token, m.past[c.Fingerprint])
		}
		m.past[c.Fingerprint] = c.Token
		m.holds[c.Fingerprint] = &hold{token: c.Token, digest: c.Digest, deadline: m.now + lease}
		delete(m.known, c.Fingerprint)
	case hapax.Duplicate:
		m.renew(e)
	}
	return nil
}

// Holds reports whether c is a live claim: that its writes must pass.
func (m *Model) Holds(c hapax.Claim) bool {
	h := m.holds[c.Fingerprint]
	return h != nil && h.token == c.Token && m.now < h.deadline && !h.shaken
}

// Ended compares the error of a Commit or Release with what it may be, and takes
// the end over.
func (m *Model) Ended(c hapax.Claim, committed bool, err error) error {
	h := m.holds[c.Fingerprint]
	live := m.Holds(c)
	if err != nil {
		if live || !errors.Is(err, hapax.ErrLeaseLost) {
			return fmt.Errorf("end claim %v, token %d: %w", c.Fingerprint, c.Token, err)
		}
		return nil
	}
	if h == nil || h.token != c.Token {
		return fmt.Errorf("end claim %v, token %d: no error, but the token moved on", c.Fingerprint, c.Token)
	}
	delete(m.holds, c.Fingerprint)
	if committed {
		m.remember(ledger.Entry{Fingerprint: c.Fingerprint, Digest: c.Digest, Time: m.now})
	}
	return nil
}

// PowerLost leaves open which claims are still held: they are written, not
// synced, and losing one equals its lease running out.
func (m *Model) PowerLost() {
	for _, h := range m.holds {
		h.shaken = true
	}
}

// Unanswered notes that an Admit returned an error: whether it came to pass is
// open, and may differ from entry to entry.
func (m *Model) Unanswered(b *ledger.Batch) {
	for _, e := range b.Entries {
		m.bytes.all += e.Size
		if m.Recall(e.Fingerprint) == Gone {
			m.remember(e)
			m.known[e.Fingerprint].shaken = true
		}
	}
}
